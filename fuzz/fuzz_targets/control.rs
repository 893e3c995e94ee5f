//! Whatever is sent to the control socket, and however it is cut up on its way: nothing panics, the cuts make no
//! difference, and every answer is whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sexton::command::{Reply, Word};
use sexton::control::{Here, LONGEST_BODY, LONGEST_HEAD, What, answer, crashes, read, reply};
use sexton::event::Pid;
use sexton::snapshot::{Doing, Life, Program, Snapshot};
use sexton::time::Time;

fn program(name: &str, is_ready: bool) -> Program {
    Program {
        name: name.to_owned(),
        is_step: false,
        state: "RUNNING",
        process: Some((Pid(7), Time::default())),
        has_started: is_ready,
        is_ready,
        is_essential: false,
        is_wanted: true,
        starts: 1,
        exits: Vec::new(),
        ended_at: None,
        last_end: None,
        doing: Doing::Nothing,
        is_stopped_by_hand: false,
        is_paused: false,
        probes: Vec::new(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        now: Time::default(),
        life: Life::Up,
        is_closing: false,
        held: None,
        holds: 0,
        held_until: None,
        holds_failures: false,
        culprit: None,
        stop: None,
        ends_at: None,
        programs: vec![program("web", true), program("a b", false)],
        history: Vec::new(),
    }
}

/// An answer is a head, and the body that the head tells of or none.
fn is_whole(answer: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(answer) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    head.starts_with("HTTP/1.1 ")
        && head.ends_with("\r\nConnection: close")
        && length.is_some_and(|length| body.is_empty() || body.len() == length)
}

fuzz_target!(|data: &[u8]| {
    let [how, data @ ..] = data else { return };
    // Most of the runs are about the parameters.
    let bytes = match how % 4 {
        0 => data.to_vec(),
        1 => [b"GET /v1/", data, b" HTTP/1.1\r\n\r\n"].concat(),
        2 => [b"POST /v1/", data, b" HTTP/1.1\r\n\r\n"].concat(),
        _ => {
            let length = data.len().to_string();
            [b"POST /v1/signal HTTP/1.0\r\nContent-Length: ", length.as_bytes(), b"\r\n\r\n", data].concat()
        }
    };
    let whole = read(&bytes);
    assert!(whole.is_some() || bytes.len() < LONGEST_HEAD + LONGEST_BODY, "a request without an end");
    let mut end = 0;
    while end < bytes.len() {
        end += 1 + usize::from(*how >> 2);
        let cut = read(&bytes[..end.min(bytes.len())]);
        assert!(cut.is_none() || cut == whole, "the cuts made a difference");
    }
    match whole {
        Some(Ok(request)) => {
            let told = match &request.what {
                What::Status(_) | What::Explain(_) => answer(&request, &snapshot(), &Here::default()),
                What::Crashes { number, list } => crashes(&request, *number, *list, &[]),
                What::Command(_) | What::Logs(_) => reply(&request, &Reply::whole(Word::Refused, "no")),
            };
            assert!(is_whole(&told));
        }
        Some(Err(answer)) => assert!(is_whole(&answer)),
        None => {}
    }
});
