//! A terminal: job control, Ctrl-C, Ctrl-Z, resizing, and who owns the foreground.
//!
//! `script` of bsdutils gives the terminal; what is typed goes into its standard input.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::{Dir, sexton, wait_until};

struct Terminal {
    dir: Dir,
    child: Child,
    keyboard: ChildStdin,
}

impl Terminal {
    /// Runs `command` in a terminal and a PID namespace of its own.
    fn new(command: &str) -> Terminal {
        let dir = Dir::new();
        let screen = dir.path().join("screen").display().to_string();
        let command = format!("unshare --fork --pid --mount-proc --kill-child=KILL -- {command}");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &command, &screen])
            .env("DIR", dir.path())
            .env("SEXTON", sexton())
            .env("HISTFILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script of bsdutils runs");
        let keyboard = child.stdin.take().expect("its stdin");
        Terminal { dir, child, keyboard }
    }

    /// As `docker run -it`: sexton is PID 1, leads the session and has the terminal.
    fn container(command: &str) -> Terminal {
        Terminal::new(&format!("setsid --ctty $SEXTON -- {command}"))
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("typed");
        self.keyboard.flush().expect("typed");
    }

    fn screen(&self) -> String {
        fs::read(self.dir.path().join("screen"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Types a line until `cat` answers it: what is typed while a shell hands the terminal over gets no answer.
    fn cat_answers(&mut self, line: &str) {
        wait_until(&format!("{line:?} twice on the screen, which shows:\n{}", self.screen()), || {
            self.type_in(&format!("{line}\n"));
            std::thread::sleep(std::time::Duration::from_millis(100));
            self.screen().contains(&format!("{line}\r\n{line}\r\n")).then_some(())
        });
    }

    fn shows(&self, text: &str) {
        wait_until(&format!("{text:?} on the screen, which shows:\n{}", self.screen()), || {
            self.screen().contains(text).then_some(())
        });
    }

    fn end(mut self) -> Option<i32> {
        wait_until("the end of the terminal", || self.child.try_wait().expect("wait for script")).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_shell_in_a_container_has_job_control() {
    let mut terminal = Terminal::container("bash --norc -i");
    terminal.shows("# ");
    terminal.type_in("echo a''sleep; sleep 1000\n");
    terminal.shows("asleep");
    wait_until("the prompt to come back", || {
        terminal.type_in("\x03");
        std::thread::sleep(std::time::Duration::from_millis(100));
        terminal.screen().trim_end().ends_with('#').then_some(())
    });
    terminal.type_in("echo code $?\n");
    terminal.shows("code 130");
    terminal.type_in("echo g''o; cat\n");
    terminal.shows("go\r\n");
    terminal.cat_answers("hello cat");
    terminal.type_in("\x1a");
    terminal.shows("Stopped");
    terminal.type_in("jobs; fg\n");
    terminal.cat_answers("hello again");
    terminal.type_in("\x04exit 9\n");
    let screen = terminal.screen();
    assert!(!screen.contains("no job control"), "{screen}");
    assert_eq!(terminal.end(), Some(9));
}

#[test]
fn ctrl_c_reaches_a_main_without_a_shell() {
    let mut terminal = Terminal::container(
        "bash --norc -c 'trap \"echo interrupted; exit 5\" INT; echo ready; while :; do sleep 0.05; done'",
    );
    terminal.shows("ready");
    terminal.type_in("\x03");
    terminal.shows("interrupted");
    assert_eq!(terminal.end(), Some(5));
}

#[test]
fn resizing_reaches_main() {
    let script = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut terminal = Terminal::new(&format!(
        "bash -c 'tty > $DIR/tty; exec setsid --ctty $SEXTON -- bash --norc -c \"{}\"'",
        script.replace('\'', "'\\''")
    ));
    terminal.shows("ready");
    let tty = wait_until("the terminal's name", || {
        fs::read_to_string(terminal.dir.path().join("tty")).ok().filter(|t| !t.is_empty())
    });
    Command::new("stty").args(["-F", tty.trim(), "rows", "33", "cols", "77"]).status().expect("stty");
    terminal.shows("33 77");
    terminal.type_in("");
    assert_eq!(terminal.end(), Some(6));
}

#[test]
fn under_a_shell_ctrl_z_stops_it_and_fg_and_bg_continue_it() {
    let mut terminal = Terminal::new("setsid --ctty bash --norc -i");
    terminal.shows("# ");
    terminal.type_in("$SEXTON -- bash --norc -c 'echo g\"\"o; exec cat'\n");
    terminal.shows("go\r\n");
    terminal.cat_answers("first");
    terminal.type_in("\x1a");
    terminal.shows("Stopped");
    terminal.type_in("echo shell $((40+2))\n");
    terminal.shows("shell 42");
    terminal.type_in("fg\n");
    terminal.cat_answers("second");
    terminal.type_in("\x04");
    terminal.type_in("echo code $?\n");
    terminal.shows("code 0");
    terminal.type_in("exit\n");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn in_the_background_it_does_not_steal_the_terminal() {
    let mut terminal = Terminal::new("setsid --ctty bash --norc -i");
    terminal.shows("# ");
    terminal.type_in("$SEXTON -- sleep 1000 &\n");
    terminal.type_in("echo shell $((40+2))\n");
    terminal.shows("shell 42");
    terminal.type_in("kill %1; wait %1; echo code $?\n");
    terminal.shows("code 143");
    terminal.type_in("exit\n");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn a_script_can_read_the_terminal_after_it() {
    // The group that was in the foreground is gone: whoever gave it the terminal has to take it back.
    let mut terminal = Terminal::new(
        "bash --norc -c 'setsid --ctty --wait bash --norc -c \"$SEXTON -- true; read line; echo read \\$line\"'",
    );
    terminal.type_in("a line\n");
    terminal.shows("read a line");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn where_stdin_is_redirected_main_still_gets_the_terminal() {
    let mut terminal =
        Terminal::container("bash --norc -c 'exec </dev/tty; echo ready; read line; echo read $line'");
    terminal.shows("ready");
    terminal.type_in("a line\n");
    terminal.shows("read a line");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn after_a_command_that_cannot_run_the_terminal_is_whose_it_was() {
    let command = "bash --norc -c 'setsid --ctty --wait bash --norc -c \"$SEXTON -- /no/such; read line; echo read \\$line\"'";
    let mut terminal = Terminal::new(command);
    terminal.shows("no such file");
    terminal.type_in("a line\n");
    terminal.shows("read a line");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn continued_in_the_background_it_leaves_the_terminal_to_the_shell() {
    let mut terminal = Terminal::new("setsid --ctty bash --norc -i");
    terminal.shows("# ");
    terminal.type_in("$SEXTON -- bash --norc -c 'echo g\"\"o; sleep 0.5; echo do\"\"ne'\n");
    terminal.shows("go\r\n");
    terminal.type_in("\x1a");
    terminal.shows("Stopped");
    terminal.type_in("bg\n");
    terminal.shows("done\r\n");
    terminal.type_in("wait; echo shell $((40+2))\n");
    terminal.shows("shell 42");
    terminal.type_in("exit 4\n");
    assert_eq!(terminal.end(), Some(4));
}

#[test]
fn where_no_shell_would_continue_it_ctrl_z_stops_nothing() {
    // As PID 1, and below a script: without sexton the kernel would ignore the key there.
    for command in
        ["setsid --ctty $SEXTON -- cat", "setsid --ctty bash --norc -c '$SEXTON -- cat; echo after'"]
    {
        let mut terminal = Terminal::new(command);
        terminal.cat_answers("first");
        terminal.type_in("\x1a");
        terminal.shows("^Z");
        terminal.cat_answers("second");
        terminal.type_in("\x04");
        assert_eq!(terminal.end(), Some(0));
    }
}
