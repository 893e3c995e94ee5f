//! `grpc.health.v1.Health/Check` over cleartext HTTP/2 (RFC 9113), as much of both as one question takes.
//!
//! One stream, no compression, and everything that is asked and answered fits the windows that a connection begins with.

/// The longest frame that a server may send who was told nothing else (RFC 9113, section 4.2).
const LONGEST_FRAME: usize = 16 * 1024;
/// How much is read in all, in bytes.
const MOST: usize = 64 * 1024;
const HEADER_BYTES: usize = 9;

/// The types of frames (RFC 9113, section 6).
mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
}
/// Flags of frames.
mod flag {
    /// Of SETTINGS and PING.
    pub(super) const ACK: u8 = 1;
    /// Of HEADERS and DATA.
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    pub(super) const PADDED: u8 = 8;
}
/// What a health service may answer (grpc.health.v1, `ServingStatus`).
const SERVING: u64 = 1;
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/// The names of gRPC's own codes, from 1 on.
const CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// `grpc-status` as it stands in a block of headers, plain and in HPACK's Huffman code (RFC 7541, appendix B).
const STATUS_PLAIN: &[u8] = b"\x0bgrpc-status";
const STATUS_HUFFMAN: &[u8] = b"\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f";

/// What is sent: all of it at once, for nothing in it depends on an answer.
pub(super) fn request(authority: &str, service: &str, agent: &str) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // No table that headers could refer to, and nothing pushed.
    push_frame(&mut out, frame::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);

    // RFC 7541: indexed fields of the static table (`:method POST`, `:scheme http`), then literals that nobody is to
    // remember, named by the table or in full.
    let mut headers = vec![0x83, 0x86, 0x04];
    push_text(&mut headers, "/grpc.health.v1.Health/Check");
    headers.push(0x01); // :authority
    push_text(&mut headers, authority);
    headers.extend([0x0f, 0x10]); // content-type
    push_text(&mut headers, "application/grpc");
    headers.extend([0x0f, 0x2b]); // user-agent
    push_text(&mut headers, agent);
    headers.push(0);
    push_text(&mut headers, "te");
    push_text(&mut headers, "trailers");
    push_frame(&mut out, frame::HEADERS, flag::END_HEADERS, 1, &headers);

    // HealthCheckRequest { string service = 1 }, behind a byte that says "not compressed" and its length.
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        push_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(&message);
    let mut frames = body.chunks(LONGEST_FRAME).peekable();
    while let Some(data) = frames.next() {
        let flags = if frames.peek().is_none() { flag::END_STREAM } else { 0 };
        push_frame(&mut out, frame::DATA, flags, 1, data);
    }
    out
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    out.extend(length);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A string of HPACK, in plain letters: its length in seven bits and what does not fit them.
fn push_text(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(short) if short < 0x7f => out.push(short),
        Ok(_) | Err(_) => {
            out.push(0x7f);
            push_varint(out, text.len().saturating_sub(0x7f));
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// Seven bits a byte, the lowest first; HPACK and protobuf agree on that.
fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while let low = value.to_le_bytes()[0]
        && value > 0x7f
    {
        out.push(low | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The answer.
#[derive(Debug, Default, Clone)]
pub(super) struct Grpc {
    /// Frames that are not whole yet.
    pending: Vec<u8>,
    /// How much has been read of whole frames.
    total: usize,
    /// The data of our stream.
    message: Vec<u8>,
}

impl Grpc {
    /// Something of the answer has come.
    pub(super) fn is_begun(&self) -> bool {
        !self.pending.is_empty() || self.total > 0
    }

    /// Takes in some of the answer, and puts out what has to be said to it; true once it is SERVING.
    pub(super) fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, String> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(([a, b, c, kind, flags, stream @ ..], after)) =
            rest.split_first_chunk::<HEADER_BYTES>()
        {
            let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
            // RFC 9113, section 3.4: SETTINGS come first. What is no HTTP/2 ends here.
            if length > LONGEST_FRAME
                || self.total == 0 && (*kind != frame::SETTINGS || flags & flag::ACK != 0)
            {
                return Err("no HTTP/2 answer".to_owned());
            }
            if self.total + HEADER_BYTES + length > MOST {
                return Err("grpc: an answer of more than 64 KiB".to_owned());
            }
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            self.total += HEADER_BYTES + length;
            rest = after;
            let is_ours = u32::from_be_bytes(*stream) & 0x7fff_ffff == 1;
            if self.pass(*kind, *flags, is_ours, payload, out)? {
                return Ok(true);
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(false)
    }

    fn pass(
        &mut self,
        kind: u8,
        flags: u8,
        is_ours: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, String> {
        match kind {
            frame::SETTINGS if flags & flag::ACK == 0 => push_frame(out, kind, flag::ACK, 0, &[]),
            frame::PING if flags & flag::ACK == 0 => push_frame(out, kind, flag::ACK, 0, payload),
            // A server that is about to end still answers the streams up to the one that it names.
            frame::GOAWAY if payload.starts_with(&[0; 4]) => {
                return Err("grpc: the server takes no more calls".to_owned());
            }
            frame::RST_STREAM if is_ours => return Err("grpc: the server broke off the call".to_owned()),
            frame::DATA if is_ours => {
                self.message.extend_from_slice(unpadded(flags, payload).ok_or("no HTTP/2 answer")?);
                if let Some(status) = self.status()? {
                    let name = usize::try_from(status).ok().and_then(|status| STATUSES.get(status));
                    return match name {
                        _ if status == SERVING => Ok(true),
                        Some(name) => Err(format!("grpc: {name}")),
                        None => Err(format!("grpc: status {status}")),
                    };
                }
                if flags & flag::END_STREAM != 0 {
                    return Err("grpc: no answer of a health service".to_owned());
                }
            }
            frame::HEADERS if is_ours && flags & flag::END_STREAM != 0 => {
                let name = code(payload).and_then(|code| CODES.get(code.checked_sub(1)?));
                let name = name.copied().unwrap_or("no answer of a health service");
                return Err(format!("grpc: {name}"));
            }
            _ => {}
        }
        Ok(false)
    }

    /// The status in HealthCheckResponse { ServingStatus status = 1 }; None while it is not whole.
    fn status(&self) -> Result<Option<u64>, String> {
        let Some(([is_compressed, length @ ..], rest)) = self.message.split_first_chunk::<5>() else {
            return Ok(None);
        };
        if *is_compressed != 0 {
            return Err("grpc: a compressed answer, which nobody asked for".to_owned());
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some(message) = rest.get(..length) else { return Ok(None) };
        read_status(message).map(Some).ok_or_else(|| "grpc: a malformed answer".to_owned())
    }
}

fn unpadded(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    if flags & flag::PADDED == 0 {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

/// Walks the fields of a message for the last with number 1; 0 where there is none, as protobuf has it.
fn read_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let skipped = match tag & 7 {
            0 => {
                let value = varint(&mut message)?;
                if tag >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => varint(&mut message)?,
            5 => 4,
            _ => return None,
        };
        message = message.get(usize::try_from(skipped).ok()?..)?;
    }
    Some(status)
}

/// The value of `grpc-status` among trailers, found by its name: whoever is told that there is no table writes it out.
fn code(trailers: &[u8]) -> Option<usize> {
    let after = [STATUS_PLAIN, STATUS_HUFFMAN].iter().find_map(|name| {
        let at = trailers.windows(name.len()).position(|window| window == *name)?;
        trailers.get(at + name.len()..)
    })?;
    let (length, value) = after.split_first()?;
    let value = value.get(..usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    // The Huffman codes of digits: 0 to 2 have five bits, the others six from 011001 on; ones fill up the last byte.
    let bits = value.iter().take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = 8 * value.len().min(3);
    let mut code = 0;
    while left >= 5 {
        let top = |count: usize| (bits >> (left - count)) & ((1 << count) - 1);
        let (digit, count) = match (top(5), left) {
            (digit @ 0..=2, _) => (digit, 5),
            (_, 6..) if (25..=31).contains(&top(6)) => (top(6) - 22, 6),
            _ => break,
        };
        code = code * 10 + usize::try_from(digit).ok()?;
        left -= count;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_frame(&mut out, kind, flags, stream, payload);
        out
    }

    /// What comes of an answer that arrives in these pieces, and what was said to it.
    fn fed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Result<bool, String>, Vec<u8>) {
        let (mut grpc, mut out) = (Grpc::default(), Vec::new());
        for piece in pieces {
            match grpc.read(piece, &mut out) {
                Ok(false) => {}
                decided => return (decided, out),
            }
        }
        (Ok(false), out)
    }

    /// The same, however it is cut in two, and byte by byte.
    fn answered(frames: &[Vec<u8>]) -> (Result<bool, String>, Vec<u8>) {
        let answer = frames.concat();
        let whole = fed([answer.as_slice()].into_iter());
        for at in 0..=answer.len() {
            assert_eq!(fed(<[&[u8]; 2]>::from(answer.split_at(at)).into_iter()), whole, "cut at {at}");
        }
        assert_eq!(fed(answer.chunks(1)), whole);
        whole
    }

    fn settings() -> Vec<u8> {
        framed(frame::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])
    }

    fn message(bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).expect("short");
        [&[0, 0, 0, 0, length], bytes].concat()
    }

    fn data(bytes: &[u8]) -> Vec<u8> {
        framed(frame::DATA, 0, 1, &message(bytes))
    }

    #[test]
    fn serving_is_success_and_nothing_else_is() {
        let failed = |reason: &str| Err(reason.to_owned());
        let headers = || framed(frame::HEADERS, flag::END_HEADERS, 1, &[0x88]);
        let trailers = |block: &[u8]| framed(frame::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, block);
        let after = |frame: Vec<u8>| answered(&[settings(), headers(), frame]).0;
        assert_eq!(after(data(&[8, 1])), Ok(true));
        assert_eq!(after(data(&[0x12, 1, b'x', 8, 1])), Ok(true));
        assert_eq!(after(data(&[8, 2])), failed("grpc: NOT_SERVING"));
        assert_eq!(after(data(&[8, 3])), failed("grpc: SERVICE_UNKNOWN"));
        assert_eq!(after(data(&[8, 0x80, 1])), failed("grpc: status 128"));
        assert_eq!(after(data(&[])), failed("grpc: UNKNOWN"));
        assert_eq!(after(data(&[8])), failed("grpc: a malformed answer"));
        assert_eq!(after(data(&[0x0b])), failed("grpc: a malformed answer"));
        let padded = [&[3], message(&[8, 1]).as_slice(), &[0; 3]].concat();
        assert_eq!(after(framed(frame::DATA, flag::PADDED, 1, &padded)), Ok(true));
        assert_eq!(after(framed(frame::DATA, flag::PADDED, 1, &[9, 0])), failed("no HTTP/2 answer"));
        assert_eq!(
            after(framed(frame::DATA, 0, 1, &[1, 0, 0, 0, 0])),
            failed("grpc: a compressed answer, which nobody asked for")
        );
        assert_eq!(
            after(framed(frame::DATA, flag::END_STREAM, 1, &[0])),
            failed("grpc: no answer of a health service")
        );
        assert_eq!(
            after(framed(frame::RST_STREAM, 0, 1, &[0; 4])),
            failed("grpc: the server broke off the call")
        );
        assert_eq!(after(framed(frame::RST_STREAM, 0, 3, &[0; 4])), Ok(false));
        assert_eq!(
            after(framed(frame::GOAWAY, 0, 0, &[0; 8])),
            failed("grpc: the server takes no more calls")
        );
        assert_eq!(after(framed(frame::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])), Ok(false));
        let plain = [STATUS_PLAIN, &[2], b"12"].concat();
        assert_eq!(after(trailers(&[&[0], plain.as_slice()].concat())), failed("grpc: UNIMPLEMENTED"));
        // 5 is 011011, and 12 is 00001 00010.
        assert_eq!(
            after(trailers(&[&[0x40], STATUS_HUFFMAN, &[0x81, 0b0110_1111]].concat())),
            failed("grpc: NOT_FOUND")
        );
        assert_eq!(
            after(trailers(&[STATUS_HUFFMAN, &[0x82, 0b0000_1000, 0b1011_1111]].concat())),
            failed("grpc: UNIMPLEMENTED")
        );
        assert_eq!(after(trailers(&[0x88])), failed("grpc: no answer of a health service"));
    }

    #[test]
    fn a_message_may_come_in_many_frames() {
        let whole = message(&[8, 1]);
        let pieces = whole.iter().map(|byte| framed(frame::DATA, 0, 1, &[*byte]));
        let frames: Vec<_> = [settings()].into_iter().chain(pieces).collect();
        assert_eq!(answered(&frames).0, Ok(true));
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let ping = framed(frame::PING, 0, 0, b"12345678");
        let (_, said) = answered(&[settings(), framed(frame::SETTINGS, flag::ACK, 0, &[]), ping]);
        let expected =
            [framed(frame::SETTINGS, flag::ACK, 0, &[]), framed(frame::PING, flag::ACK, 0, b"12345678")];
        assert_eq!(said, expected.concat());
    }

    #[test]
    fn what_is_no_http_2_is_known_by_its_first_frame_and_nothing_is_endless() {
        let none = Err("no HTTP/2 answer".to_owned());
        assert_eq!(answered(&[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]).0, none);
        assert_eq!(answered(&[data(&[8, 1])]).0, none);
        let pings = std::iter::repeat_n(framed(frame::PING, 0, 0, b"12345678"), 5000);
        let frames: Vec<_> = [settings()].into_iter().chain(pings).collect();
        let whole = frames.concat();
        for length in [1, 100, usize::MAX] {
            assert_eq!(fed(whole.chunks(length)).0, Err("grpc: an answer of more than 64 KiB".to_owned()));
        }
    }

    #[test]
    fn a_request_is_whole_frames_of_a_lawful_length() {
        for length in [0, 1, 126, 127, 128, 300, 20_000] {
            let service = "s".repeat(length);
            let sent = request(&"h".repeat(length), &service, "agent");
            let mut rest = sent.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the preface");
            let mut body = Vec::new();
            while let Some(([a, b, c, kind, flags, ..], after)) = rest.split_first_chunk::<HEADER_BYTES>() {
                let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).expect("small");
                let (payload, after) = after.split_at(length);
                rest = after;
                if *kind == frame::DATA {
                    assert!(length <= LONGEST_FRAME);
                    body.extend_from_slice(payload);
                    assert_eq!(flags & flag::END_STREAM != 0, rest.is_empty());
                }
            }
            assert!(rest.is_empty() && body.ends_with(service.as_bytes()));
            let (head, mut field) = body.split_at(5);
            assert_eq!(
                usize::try_from(u32::from_be_bytes(head[1..].try_into().expect("four"))),
                Ok(field.len())
            );
            if length > 0 {
                field = field.strip_prefix(&[0x0a]).expect("the first field, of bytes");
                assert_eq!(varint(&mut field), u64::try_from(length).ok());
            }
        }
    }
}
