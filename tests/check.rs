//! `sexton check`: what it prints is a configuration again, and means the same.

use std::path::{Path, PathBuf};
use std::process::Command;

fn check(file: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sexton")).arg("check").arg(file).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn without_its_name(overview: &str) -> String {
    overview.lines().skip(1).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_it_prints_means_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    // The one that reads secrets wants files that are not there.
    let examples: Vec<PathBuf> = entries
        .filter(|path| {
            path.extension().is_some_and(|end| end == "toml") && !path.ends_with("environment.toml")
        })
        .collect();
    assert!(examples.len() >= 10, "{examples:?}");
    let copy = std::env::temp_dir().join(format!("sexton-check-{}.toml", std::process::id()));
    for example in examples {
        let (code, overview, errors) = check(&example);
        assert_eq!(code, Some(0), "{example:?}: {errors}");
        std::fs::write(&copy, &overview).expect("written");
        let (code, again, errors) = check(&copy);
        assert_eq!(code, Some(0), "{example:?}: {errors}\n{overview}");
        assert_eq!(without_its_name(&again), without_its_name(&overview), "{example:?}");
    }
    std::fs::remove_file(copy).expect("removed");
}

#[test]
fn it_warns_where_stopping_takes_longer_than_the_grace_period() {
    let file = std::env::temp_dir().join(format!("sexton-grace-{}.toml", std::process::id()));
    let write = |grace: &str| {
        let text = format!(
            "grace_period = \"{grace}\"\n[program.db]\ncommand = \"a\"\n[program.web]\ncommand = \"b\"\nafter = {{ db = \"ready\" }}\n"
        );
        std::fs::write(&file, text).expect("written");
        check(&file).1
    };
    assert!(write("20s").contains("# warning: stopping may take 20s, and sexton has 19s for it"));
    assert!(!write("22s").contains("warning"));
    std::fs::remove_file(&file).expect("removed");
}

#[test]
fn a_bad_file_is_exit_code_100_and_a_line_for_each_error() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/bad/signals.toml");
    let (code, overview, errors) = check(&file);
    assert_eq!((code, overview.as_str()), (Some(100), ""));
    let name = file.display().to_string();
    assert!(errors.lines().count() > 1 && errors.lines().all(|line| line.starts_with(&name)), "{errors}");
}
