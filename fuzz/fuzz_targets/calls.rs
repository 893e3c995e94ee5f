//! Whatever a server answers, and however it is cut up on its way: nothing panics, and the same comes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sexton::calls::{Call, Get, Next, Url};
use sexton::event::Outcome;

const MOST: usize = 64;

fn call(is_grpc: bool, is_hook: bool) -> Call {
    if is_grpc {
        return Call::grpc("localhost", 80, "a.B", is_hook);
    }
    let url = Url { host: "localhost".to_owned(), port: 80, path: "/a/b?c".to_owned() };
    let headers = vec![("Host".to_owned(), "a".to_owned())];
    Call::http(Get { url, headers, is_hook, most: MOST, keeps_body: true })
}

/// What comes of an answer in pieces of these lengths, and what was sent on the way; every redirect leads to the same
/// answer again.
fn answered(mut call: Call, bytes: &[u8], lengths: &[u8]) -> (Outcome, Vec<u8>, Vec<u8>) {
    let mut sent = Vec::new();
    let mut send = |call: &mut Call| {
        sent.extend_from_slice(call.unsent());
        call.sent(call.unsent().len());
    };
    for _ in 0..20 {
        send(&mut call);
        let mut rest = bytes;
        let mut next = Next::More;
        for length in lengths.iter().copied().map(usize::from).chain([usize::MAX]) {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            if piece.is_empty() {
                continue;
            }
            next = call.read(piece);
            if next != Next::More {
                break;
            }
            send(&mut call);
        }
        match next {
            Next::Connect => {
                let request = String::from_utf8(call.unsent().to_vec()).expect("UTF-8");
                assert!(request.starts_with("GET /") && request.ends_with("\r\n\r\n"));
                assert_eq!(request.matches("\r\n").count(), 6, "a line too many");
            }
            Next::More => {
                let outcome = call.end();
                return (outcome, call.body().to_vec(), sent);
            }
            Next::Decided(outcome) => {
                send(&mut call); // what nobody reads any more
                return (outcome, call.body().to_vec(), sent);
            }
        }
    }
    panic!("redirected for ever");
}

fuzz_target!(|data: &[u8]| {
    let [style, count, data @ ..] = data else { return };
    let call = || call(style & 1 != 0, style & 2 != 0);
    let (lengths, bytes) = data.split_at(data.len().min(usize::from(count % 32)));
    let whole = answered(call(), bytes, &[]);
    assert!(whole.1.len() <= MOST, "too much of a body");
    assert!(!matches!(whole.0, Outcome::Impossible(_)));
    assert!(answered(call(), bytes, lengths) == whole, "the cuts made a difference");
});
