//! The manual page and the completions, made from the command line's own tables and held against what is in the repository.
//!
//! `SEXTON_WRITE_DOCUMENTS=1 cargo test --test documents` writes them anew.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sexton::cli::{self, Flag};
use sexton::inspect;

/// The words that something else than a flag can be completed by, by how the synopsis calls them.
fn words_for(synopsis: &str) -> &'static str {
    let words = synopsis.split(' ').map(|word| word.trim_matches(['[', ']', '.'])).collect::<Vec<_>>();
    if words.contains(&"SIGNAL") {
        "signals"
    } else if words.contains(&"NAME") {
        "programs"
    } else if words.contains(&"on|off") {
        "switch"
    } else if words.iter().any(|word| ["FILE", "PATH", "DIRECTORY"].contains(word)) {
        "files"
    } else if words.contains(&"PID") {
        "pids"
    } else {
        "nothing"
    }
}

/// A subcommand, or what can be inspected.
struct Entry {
    /// As it is written, `inspect ps`.
    name: String,
    /// What may follow.
    words: &'static str,
    help: &'static str,
    /// What more there is to say.
    more: &'static str,
    flags: Vec<Flag>,
}

/// All there is to complete.
fn all() -> Vec<Entry> {
    let own = cli::SUBCOMMANDS.iter().map(|command| Entry {
        name: command.name.to_owned(),
        words: command.words,
        help: command.help,
        more: command.more,
        flags: command.flags.iter().map(Flag::clone).collect(),
    });
    let inspected = inspect::COMMANDS.iter().map(|command| {
        let words =
            command.usage.trim_start_matches("sexton inspect ").trim_start_matches(command.name).trim();
        Entry {
            name: format!("inspect {}", command.name),
            words,
            help: command.help,
            more: "",
            flags: words
                .split("[-")
                .skip(1)
                .map(|flag| flag_of(flag.split(']').next().expect("a part")))
                .collect(),
        }
    });
    own.chain(inspected).collect()
}

/// A flag of what can be inspected, from how it is written: `n LINES` or `-json`.
fn flag_of(written: &'static str) -> Flag {
    let (name, value) = written.split_once(' ').unwrap_or((written, ""));
    let help = match name {
        "-json" => "print JSON",
        "-reveal" => "show secrets",
        "-list" => "a line for each report",
        "a" => "those with a dot as well",
        "f" => "and what comes later",
        "n" if value == "NUMBER" => "which report; 1 is the newest",
        "n" => "how many lines",
        other => panic!("no help for -{other}"),
    };
    match name.strip_prefix('-') {
        Some(long) => Flag { short: None, long, value, help },
        None => Flag { short: name.chars().next(), long: "", value, help },
    }
}

fn written(flag: &Flag) -> Vec<String> {
    let short = flag.short.map(|c| format!("-{c}"));
    let long = (!flag.long.is_empty()).then(|| format!("--{}", flag.long));
    short.into_iter().chain(long).collect()
}

// --- the manual page

/// roff takes a backslash, a minus and a dot at the beginning of a line for its own.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn roff_flags(page: &mut String, flags: &[Flag]) {
    for flag in flags {
        let names: Vec<String> = written(flag).iter().map(|name| format!("\\fB{}\\fR", roff(name))).collect();
        let value =
            if flag.value.is_empty() { String::new() } else { format!(" \\fI{}\\fR", roff(flag.value)) };
        let _ = writeln!(page, ".TP\n{}{value}\n{}", names.join(", "), roff(flag.help));
    }
}

fn manual() -> String {
    let mut page = format!(
        ".\\\" Made from the tables in src/cli.rs; SEXTON_WRITE_DOCUMENTS=1 cargo test --test documents writes it anew.\n\
         .TH SEXTON 1 \"\" \"sexton {}\" \"User Commands\"\n.SH NAME\nsexton \\- a container's first process\n.SH SYNOPSIS\n",
        env!("CARGO_PKG_VERSION")
    );
    for line in [
        "\\fBsexton\\fR [\\fIOPTIONS\\fR] [\\fB\\-\\-\\fR] \\fICOMMAND\\fR [\\fIARG\\fR]...",
        "\\fBsexton\\fR [\\fIOPTIONS\\fR] \\fB\\-\\-config\\fR \\fIFILE\\fR [\\fB\\-\\-\\fR] [\\fICOMMAND\\fR [\\fIARG\\fR]...]",
        "\\fBsexton\\fR [\\fIOPTIONS\\fR] \\fISUBCOMMAND\\fR ...",
    ] {
        let _ = writeln!(page, "{line}\n.br");
    }
    page += ".SH DESCRIPTION\n\
        Runs COMMAND, or the programs of a file, as a container's first process: passes signals on, reaps zombies, ends with the \
        main program's own exit code, says in Kubernetes' termination message why it ended, and holds the container open \
        after a crash where that is asked for. With neither a command nor a file it reads /etc/sexton.toml.\n.PP\n\
        Options end at the first word that is none; what follows belongs to COMMAND. A first word that is a subcommand's is one \
        unless \\fB\\-\\-\\fR stands before it. As process 1 the only subcommand is \\fBcheck\\fR: all others are names of \
        programs.\n.PP\n\
        Each option \\-\\-some\\-name can be set by the variable SEXTON_SOME_NAME; the command line wins.\n.SH OPTIONS\n";
    roff_flags(&mut page, &cli::options());
    page += ".SH SUBCOMMANDS\n";
    for entry in all() {
        let synopsis = roff(&format!("sexton {} {}", entry.name, entry.words));
        let _ = writeln!(page, ".SS {}\n{}", synopsis.trim_end(), roff(entry.help));
        if !entry.more.is_empty() {
            let _ = writeln!(page, ".PP\n{}", roff(entry.more));
        }
        roff_flags(&mut page, &entry.flags);
    }
    page += ".SH EXIT STATUS\n";
    for (code, what) in [
        ("COMMAND's own", "when it exited"),
        ("128+n", "when signal n killed it"),
        ("127", "it was not found"),
        ("126", "it was found and cannot be run"),
        ("1", "a program has failed for good although its last code was 0"),
        ("100", "bad usage or configuration; nothing was started"),
        ("111", "the system refused to make a process"),
    ] {
        let _ = writeln!(page, ".TP\n{}\n{}", roff(code), roff(what));
    }
    page += ".SH FILES\n.TP\n/etc/sexton.toml\nthe configuration, where neither a command nor a file is given\n\
        .TP\n/run/sexton.sock\nthe control socket\n.TP\n/dev/termination\\-log\nthe termination message, where a kubelet has made \
        it\n";
    page
}

// --- completions

/// The last words of what is written in so many.
fn last_words(depth: usize) -> Vec<String> {
    let entries = all().into_iter().filter(|entry| entry.name.split(' ').count() == depth);
    entries.map(|entry| entry.name.split(' ').next_back().unwrap_or_default().to_owned()).collect()
}

fn bash() -> String {
    let names = |depth: usize| last_words(depth).join(" ");
    let flags = |flags: &[Flag]| flags.iter().flat_map(written).collect::<Vec<_>>().join(" ");
    let valued = |flags: &[Flag]| {
        flags.iter().filter(|flag| !flag.value.is_empty()).flat_map(written).collect::<Vec<_>>().join("|")
    };
    let mut cases = String::new();
    for Entry { name, words, flags: own, .. } in all().iter().filter(|entry| entry.name != "inspect") {
        let _ = writeln!(
            cases,
            "        '{name}') flags='{}' valued='{}' words={} ;;",
            flags(own),
            valued(own),
            words_for(words)
        );
    }
    format!(
        r#"# bash completion for sexton. Made from the tables in src/cli.rs; `SEXTON_WRITE_DOCUMENTS=1 cargo test --test documents`
# writes it anew.

_sexton() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command='' flags='{}' valued='{}' words=commands at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "${{COMP_WORDS[at]}}" in
            --) [[ $command ]] || command=-- ;;
            -*) [[ $command || "|$valued|" != *"|${{COMP_WORDS[at]}}|"* ]] || ((at++)) ;;
            *)
                if [[ ! $command ]]; then
                    command=${{COMP_WORDS[at]}}
                elif [[ $command == inspect ]]; then
                    command="inspect ${{COMP_WORDS[at]}}"
                fi
                ;;
        esac
    done
    case "$command" in
        '') ;;
        inspect) flags='--help' valued='' words=inspections ;;
{cases}        --) COMPREPLY=($(compgen -c -- "$word")); return ;;
        *) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    if [[ "|$valued|" == *"|$previous|"* ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
        return
    fi
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$flags --help" -- "$word"))
        return
    fi
    case "$words" in
        commands) COMPREPLY=($(compgen -W '{}' -- "$word") $(compgen -c -- "$word")) ;;
        inspections) COMPREPLY=($(compgen -W '{}' -- "$word")) ;;
        programs) COMPREPLY=($(compgen -W "$(_sexton_programs)" -- "$word")) ;;
        signals) COMPREPLY=($(compgen -W "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP $(_sexton_programs)" -- "$word")) ;;
        switch) COMPREPLY=($(compgen -W 'on off' -- "$word")) ;;
        pids) COMPREPLY=($(compgen -W "$(cd /proc 2>/dev/null && echo [0-9]*) $(_sexton_programs)" -- "$word")) ;;
        files) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}

# The programs of the sexton that answers.
_sexton_programs() {{
    "${{COMP_WORDS[0]}}" status --json 2>/dev/null | grep -o '"name":"[^"]*"' | cut -d'"' -f4
}}

complete -F _sexton sexton
"#,
        flags(&cli::options()),
        valued(&cli::options()),
        names(1),
        names(2),
    )
}

/// Within single quotes, for zsh and fish.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''").replace('`', "")
}

fn zsh() -> String {
    // A colon ends a name, brackets end a description.
    let spec = |flag: &Flag| {
        let help = quoted(flag.help).replace('[', "(").replace(']', ")").replace(':', "\\:");
        let value = match flag.value {
            "" => String::new(),
            "FILE" | "PATH" | "PATH|none" | "DIRECTORY" => format!(":{}:_files", flag.value),
            value => format!(":{value}: "),
        };
        let names: Vec<String> =
            written(flag).iter().map(|name| format!("        '*{name}[{help}]{value}' \\\n")).collect();
        names.concat()
    };
    let list = |depth: usize| -> String {
        let entries = all().into_iter().filter(|entry| entry.name.split(' ').count() == depth);
        let line = |(entry, name): (Entry, String)| {
            format!("        '{name}:{}'\n", quoted(entry.help).replace(':', "\\:"))
        };
        entries.zip(last_words(depth)).map(line).collect()
    };
    let mut cases = String::new();
    for Entry { name, words, flags, .. } in all().iter().filter(|entry| entry.name != "inspect") {
        let flags: String = flags.iter().map(spec).collect();
        let words = match words_for(words) {
            "programs" => "'*:program:_sexton_programs'",
            "signals" => {
                "':signal:(HUP INT QUIT KILL USR1 USR2 TERM CONT STOP)' '*:program:_sexton_programs'"
            }
            "switch" => "':switch:(on off)'",
            "files" => "'*:file:_files'",
            "pids" => "'*:process:_pids'",
            _ => "'*: : '",
        };
        let _ = writeln!(cases, "    ('{name}') _arguments \\\n{flags}        {words} ;;");
    }
    format!(
        r#"#compdef sexton
# Made from the tables in src/cli.rs; `SEXTON_WRITE_DOCUMENTS=1 cargo test --test documents` writes it anew.

_sexton_programs() {{
    local -a programs
    programs=(${{(f)"$(sexton status --json 2>/dev/null | grep -o '"name":"[^"]*"' | cut -d'"' -f4)"}})
    compadd -a programs
}}

_sexton() {{
    local -a subcommands inspections
    local state line
    subcommands=(
{}    )
    inspections=(
{}    )
    _arguments -C \
{}        '1:command:->command' '*::arguments:->arguments' && return
    if [[ $state == command ]]; then
        _describe subcommand subcommands
        _command_names -e
        return
    fi
    local name=$words[1]
    if [[ $name == inspect ]]; then
        if (( CURRENT == 2 )); then
            _describe inspection inspections
            return
        fi
        name="inspect $words[2]"
        shift words
        (( CURRENT-- ))
    fi
    case $name in
{cases}    (*) _normal ;;
    esac
}}

_sexton "$@"
"#,
        list(1),
        list(2),
        cli::options().iter().map(spec).collect::<String>(),
    )
}

fn fish() -> String {
    let mut text = String::from(
        "# fish completion for sexton. Made from the tables in src/cli.rs; `SEXTON_WRITE_DOCUMENTS=1 cargo test --test documents`\n\
         # writes it anew.\n\n\
         function __sexton_programs\n    sexton status --json 2>/dev/null | string match -rag '\"name\":\"([^\"]*)\"'\nend\n\n",
    );
    let mut put = |when: &str, flags: &[Flag]| {
        for flag in flags {
            let short = flag.short.map_or_else(String::new, |c| format!(" -s {c}"));
            let long = if flag.long.is_empty() { String::new() } else { format!(" -l {}", flag.long) };
            let value = match flag.value {
                "" => "",
                "FILE" | "PATH" | "PATH|none" | "DIRECTORY" => " -r -F",
                _ => " -x",
            };
            let _ = writeln!(
                text,
                "complete -c sexton -n '{when}'{short}{long}{value} -d '{}'",
                quoted(flag.help)
            );
        }
    };
    put("__fish_use_subcommand", &cli::options());
    for Entry { name, flags, .. } in all() {
        let when = match name.split_once(' ') {
            Some((first, second)) => {
                format!("__fish_seen_subcommand_from {first}; and __fish_seen_subcommand_from {second}")
            }
            None => format!("__fish_seen_subcommand_from {name}"),
        };
        put(&when, &flags);
    }
    for Entry { name, words, help, .. } in all() {
        let Some((first, second)) = name.split_once(' ') else {
            let _ =
                writeln!(text, "complete -c sexton -n __fish_use_subcommand -a {name} -d '{}'", quoted(help));
            let words = match words_for(words) {
                "programs" => "(__sexton_programs)",
                "signals" => "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP (__sexton_programs)",
                "switch" => "on off",
                _ => continue,
            };
            let _ =
                writeln!(text, "complete -c sexton -f -n '__fish_seen_subcommand_from {name}' -a '{words}'");
            continue;
        };
        let _ = writeln!(
            text,
            "complete -c sexton -f -n '__fish_seen_subcommand_from {first}; and test (count (commandline -opc)) -eq 2' -a {second} -d '{}'",
            quoted(help)
        );
    }
    text
}

// --- the tests

fn is_the_repositorys(path: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("SEXTON_WRITE_DOCUMENTS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("the directory is made");
        std::fs::write(&path, made).expect("the file is written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "{} is not what the tables say; SEXTON_WRITE_DOCUMENTS=1 cargo test --test documents writes it anew",
        path.display()
    );
}

/// Runs a shell or a formatter, which has to be there, over one of them; what it has to say.
fn checked(words: &[&str], package: &str) -> String {
    let output = Command::new(words[0])
        .args(&words[1..])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}; apt-get install {package}", words[0]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{words:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_manual_page_is_made_from_the_tables() {
    is_the_repositorys("docs/sexton.1", &manual());
    let page = checked(&["groff", "-man", "-Tutf8", "-ww", "-z", "docs/sexton.1"], "groff-base");
    assert_eq!(page, "");
}

#[test]
fn the_completions_are_made_from_the_tables() {
    is_the_repositorys("completions/sexton.bash", &bash());
    is_the_repositorys("completions/_sexton", &zsh());
    is_the_repositorys("completions/sexton.fish", &fish());
    checked(&["bash", "-n", "completions/sexton.bash"], "bash");
    checked(&["zsh", "-n", "completions/_sexton"], "zsh");
    checked(&["fish", "--no-execute", "completions/sexton.fish"], "fish");
}

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source completions/sexton.bash; COMP_WORDS=({}); COMP_CWORD={}; _sexton; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        line.join(" "),
        words.len() - 1
    );
    let lines = checked(&["bash", "--norc", "-c", &script], "bash");
    lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_what_fits() {
    assert_eq!(offered(&["sexton", "--hold-fo"]), ["--hold-for"]);
    assert_eq!(offered(&["sexton", "restar"]), ["restart"]);
    assert_eq!(offered(&["sexton", "--socket", "/x", "relea"]), ["release"]);
    assert_eq!(offered(&["sexton", "release", "--r"]), ["--restart"]);
    assert_eq!(offered(&["sexton", "hold", "o"]), ["on", "off"]);
    assert_eq!(offered(&["sexton", "inspect", "li"]), ["limits"]);
    assert_eq!(offered(&["sexton", "inspect", "env", "--rev"]), ["--reveal"]);
    assert_eq!(offered(&["sexton", "inspect", "ls", "Cargo.t"]), ["Cargo.toml"]);
    assert!(offered(&["sexton", "--", "relea"]).is_empty());
}
