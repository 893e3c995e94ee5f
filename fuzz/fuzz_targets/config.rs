//! Any text as a configuration file: it is refused with errors whose places are in it, or its promises hold.
#![no_main]

use std::collections::HashSet;
use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sexton::config::{Config, Outside, parse, warnings};

fn variable(name: &str) -> Option<String> {
    match name {
        "A" => Some("a".to_owned()),
        "WORDS" => Some("two words $(A) 'x".to_owned()),
        "EMPTY" => Some(String::new()),
        "LONG" => Some("x".repeat(1000)),
        _ => None,
    }
}

/// Files by the first letter of their names.
fn file(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    match path.as_os_str().as_encoded_bytes().first() {
        Some(b'a') => Ok(b"A=1\nexport B=\"x\\n$(A)\"\n# no\nC='y'\n".to_vec()),
        Some(b'b') => Ok(b"no variable\n".to_vec()),
        Some(b'c') => Ok(vec![0xff, b'\n', 0xc3]),
        Some(b'd') => Ok(vec![b'x'; limit + 1]),
        Some(b'e') => Ok(b"a\0b".to_vec()),
        Some(b'f') => Err(io::ErrorKind::IsADirectory.into()),
        // The name itself is the content, so that the fuzzer writes those files too.
        Some(b'/') => Ok(path.as_os_str().as_encoded_bytes().to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn check(config: &Config) {
    let processes =
        || config.steps.iter().map(|step| &step.process).chain(config.programs.iter().map(|p| &p.process));
    assert!(processes().next().is_some());
    let mut names = HashSet::new();
    for process in processes() {
        assert!(!process.name.is_empty() && process.name.len() <= 64 && !process.name.contains(char::is_control));
        assert!(names.insert(&process.name), "a name comes twice");
        assert!(process.argv.first().is_some_and(|word| !word.is_empty()));
        let variables = process.environment.iter().flat_map(|(name, value)| [name, value]);
        assert!(process.argv.iter().chain(variables).chain(&process.user).all(|text| !text.contains('\0')));
        assert!(process.environment.iter().all(|(name, _)| !name.is_empty() && !name.contains('=')));
        assert!(process.umask.is_none_or(|mask| mask <= 0o777));
        assert!(process.rlimits.iter().all(|(what, soft, hard)| {
            what.0 < 16 && soft.unwrap_or(u64::MAX) <= hard.unwrap_or(u64::MAX)
        }));
        assert!(process.drop_capabilities.is_sorted() && process.drop_capabilities.iter().all(|n| *n < 64));
    }
    assert!(config.main.is_none_or(|main| config.programs.get(main).is_some_and(|main| main.autostart)));
    // Programs that wait for nobody who is left go first; in a cycle somebody stays.
    let mut waiting: Vec<usize> = config.programs.iter().map(|program| program.after.len()).collect();
    let mut before = vec![Vec::new(); config.programs.len()];
    for (place, program) in config.programs.iter().enumerate() {
        for (other, _) in &program.after {
            before[*other].push(place);
        }
    }
    let mut ready: Vec<usize> = (0..waiting.len()).filter(|place| waiting[*place] == 0).collect();
    let mut gone = 0;
    while let Some(place) = ready.pop() {
        gone += 1;
        for other in &before[place] {
            waiting[*other] -= 1;
            if waiting[*other] == 0 {
                ready.push(*other);
            }
        }
    }
    assert_eq!(gone, config.programs.len(), "programs wait for each other");
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let outside = Outside { variable: &variable, file: &file };
    let first = parse("sexton.toml", text, &outside);
    assert_eq!(first, parse("sexton.toml", text, &outside), "it is read differently the second time");
    match first {
        Ok(config) => {
            check(&config);
            assert!(warnings(&config).iter().all(|line| !line.contains('\n')));
        }
        Err(errors) => {
            let said = errors.to_string();
            assert!(!said.is_empty() && said.lines().count() <= 21 && said.len() < 21 * 4096);
            assert!(!said.chars().any(|c| c.is_control() && c != '\n'));
            let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
            let mut last = (0, 0);
            for place in errors.places() {
                let place = place.expect("a place in the text");
                assert!(place.column >= 1 && place.column <= lines[place.line - 1] + 1);
                assert!((place.line, place.column) >= last, "out of order");
                last = (place.line, place.column);
            }
            assert!(last != (0, 0), "an error without errors");
        }
    }
});
