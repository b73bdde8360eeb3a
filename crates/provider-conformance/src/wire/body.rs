//! How long the body of an answer is. RFC 9112 section 6.

use super::error::WireError;
use super::head::{Head, Headers};

/// More of a chunk's size, or of trailers, is taken for garbage.
const LINES: usize = 64 * 1024;

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Framing {
    /// Nothing: the message is whole.
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks; so many bytes of this one, `None` before the line with a size.
    Chunks(Option<u64>),
    /// Whatever comes before the connection ends.
    UntilClose,
    /// No HTTP any more.
    Upgraded,
}

impl Framing {
    /// What follows this head, in answer to this method.
    pub(super) fn of(head: &Head, method: &str) -> Result<Self, WireError> {
        let malformed = |what: String| Err(WireError::Malformed(what));
        let lengths = head.headers.all("content-length");
        let codings = head.headers.all("transfer-encoding");
        let bodiless = head.status < 200 || head.status == 204;
        if bodiless && !(lengths.is_empty() && codings.is_empty()) {
            return malformed(format!("a {} states a length", head.status));
        }
        if !lengths.is_empty() && !codings.is_empty() {
            return malformed("both Content-Length and Transfer-Encoding".to_owned());
        }
        let stated = match lengths.split_first() {
            None => None,
            Some((first, rest)) => {
                let digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
                match first.parse::<u64>() {
                    Ok(length) if digits && rest.is_empty() => Some(length),
                    _ => return malformed(format!("Content-Length {lengths:?}")),
                }
            }
        };
        if head.status == 101 {
            return Ok(Self::Upgraded);
        }
        if bodiless || head.status == 304 || method == "HEAD" {
            return Ok(Self::Done);
        }
        match codings.as_slice() {
            [] => {}
            [coding] if head.minor == 1 && coding.eq_ignore_ascii_case("chunked") => {
                return Ok(Self::Chunks(None));
            }
            _ => return malformed(format!("Transfer-Encoding {codings:?}")),
        }
        Ok(match stated {
            Some(0) => Self::Done,
            Some(length) => Self::Length(length),
            None => Self::UntilClose,
        })
    }
}

/// One step through the bytes that are there.
pub(super) enum Step {
    /// A piece of the body.
    Piece(Vec<u8>),
    /// The end, with trailers.
    End(Headers),
    /// More bytes are needed.
    More,
}

impl Framing {
    /// Takes the next piece off the buffer.
    pub(super) fn step(&mut self, buffer: &mut Vec<u8>) -> Result<Step, WireError> {
        loop {
            match self {
                Self::Done => return Ok(Step::End(Headers::default())),
                Self::Upgraded | Self::UntilClose if buffer.is_empty() => return Ok(Step::More),
                Self::Upgraded | Self::UntilClose => {
                    return Ok(Step::Piece(std::mem::take(buffer)));
                }
                Self::Length(left) => {
                    if buffer.is_empty() {
                        return Ok(Step::More);
                    }
                    let piece = take(buffer, left);
                    if *left == 0 {
                        *self = Self::Done;
                    }
                    return Ok(Step::Piece(piece));
                }
                Self::Chunks(Some(left)) if *left > 0 => {
                    if buffer.is_empty() {
                        return Ok(Step::More);
                    }
                    return Ok(Step::Piece(take(buffer, left)));
                }
                Self::Chunks(Some(_)) => {
                    // The line end behind the data of a chunk.
                    match buffer.as_slice() {
                        [b'\r', b'\n', ..] => drop(buffer.drain(..2)),
                        [] | [b'\r'] => return Ok(Step::More),
                        _ => {
                            return Err(WireError::Malformed(
                                "a chunk is longer than its size".to_owned(),
                            ));
                        }
                    }
                    *self = Self::Chunks(None);
                }
                Self::Chunks(None) => {
                    let Some(feed) = find(buffer, b"\n") else {
                        return bounded(buffer);
                    };
                    let line: Vec<u8> = buffer.get(..=feed).unwrap_or_default().to_vec();
                    match chunk_size(&line)? {
                        0 => {
                            // Trailers, or the empty line at once.
                            let Some(end) = trailers_end(buffer, feed + 1) else {
                                return bounded(buffer);
                            };
                            let block: Vec<u8> = buffer.drain(..end).skip(feed + 1).collect();
                            *self = Self::Done;
                            return Ok(Step::End(super::head::trailers(&block)?));
                        }
                        size => {
                            buffer.drain(..=feed);
                            *self = Self::Chunks(Some(size));
                        }
                    }
                }
            }
        }
    }
}

/// More is needed, and not more than makes sense.
fn bounded(buffer: &[u8]) -> Result<Step, WireError> {
    if buffer.len() > LINES {
        let malformed = format!("a chunk's size, or trailers, of over {LINES} bytes");
        return Err(WireError::Malformed(malformed));
    }
    Ok(Step::More)
}

fn take(buffer: &mut Vec<u8>, left: &mut u64) -> Vec<u8> {
    let here = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    *left -= here as u64;
    buffer.drain(..here).collect()
}

fn trailers_end(buffer: &[u8], from: usize) -> Option<usize> {
    let rest = buffer.get(from..)?;
    if rest.starts_with(b"\r\n") {
        return Some(from + 2);
    }
    find(rest, b"\r\n\r\n").map(|at| from + at + 4)
}

fn chunk_size(line: &[u8]) -> Result<u64, WireError> {
    let malformed = || {
        let line = String::from_utf8_lossy(line).into_owned();
        WireError::Malformed(format!("the line of a chunk's size is {line:?}"))
    };
    let line = line.strip_suffix(b"\r\n").ok_or_else(malformed)?;
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(size).map_err(|_| malformed())?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    u64::from_str_radix(text, 16).map_err(|_| malformed())
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::{Framing, Step};
    use crate::wire::head::Head;

    fn framing(head: &str, method: &str) -> Result<Framing, String> {
        let head = Head::parse(head.as_bytes()).unwrap();
        Framing::of(&head, method).map_err(|error| error.to_string())
    }

    #[test]
    fn a_length_is_stated_once_and_in_one_way() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert!(framing(head, "GET").is_err(), "{head:?}");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert!(matches!(framing(head, "HEAD"), Ok(Framing::Done)));
    }

    #[test]
    fn chunks_are_taken_as_they_come() {
        let mut framing = Framing::Chunks(None);
        let mut buffer = b"3\r\nab".to_vec();
        assert!(matches!(framing.step(&mut buffer), Ok(Step::Piece(piece)) if piece == b"ab"));
        assert!(matches!(framing.step(&mut buffer), Ok(Step::More)));
        buffer.extend_from_slice(b"c\r\n0;x=y\r\nA: 1\r\n\r\n");
        assert!(matches!(framing.step(&mut buffer), Ok(Step::Piece(piece)) if piece == b"c"));
        let Ok(Step::End(trailers)) = framing.step(&mut buffer) else {
            panic!("the end");
        };
        assert_eq!(trailers.get("a").as_deref(), Some("1"));
        assert!(buffer.is_empty());
    }

    #[test]
    fn lines_without_end_are_not_waited_for() {
        for start in ["", "0\r\n"] {
            let mut framing = Framing::Chunks(None);
            let mut buffer = start.as_bytes().to_vec();
            buffer.resize(100_000, b'1');
            assert!(framing.step(&mut buffer).is_err(), "{start:?}");
        }
    }

    #[test]
    fn chunks_that_are_none_are_refused() {
        for bytes in ["x\r\n", "\r\n", "1\n", "1\r\nabc", "fffffffffffffffff\r\n"] {
            let mut framing = Framing::Chunks(None);
            let mut buffer = bytes.as_bytes().to_vec();
            let first = framing.step(&mut buffer);
            let failed = first.is_err() || framing.step(&mut buffer).is_err();
            assert!(failed, "{bytes:?}");
        }
    }
}
