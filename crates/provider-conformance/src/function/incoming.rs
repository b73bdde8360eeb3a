//! Requests, as they are received.
//!
//! Strict on what would let two readers see two things, and on nothing else: what a provider
//! passes on is for the cases to judge.

use super::connection::{Connection, Gone};

/// The longest header that is taken.
const MOST_HEADER: usize = 1 << 20;
/// The longest line of a chunk's size.
const MOST_LINE: usize = 16 * 1024;

/// The first part of a request. Text is Latin-1: each byte a character.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Why no request was read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The connection ended between two requests, or within one.
    Ended,
    /// It is not HTTP/1.x; the text says why.
    Malformed(String),
}

impl Head {
    /// Reads the next one; empty lines before it are skipped.
    pub(crate) async fn read(connection: &mut Connection) -> Result<Self, Unread> {
        let mut seen = 0;
        loop {
            while connection.waiting().starts_with(b"\r\n") {
                connection.take(2);
                seen = 0;
            }
            let waiting = connection.waiting();
            if let Some(at) = find(waiting, b"\r\n\r\n", seen) {
                let head = connection.take(at + 4);
                return Self::parse(head.get(..at).unwrap_or_default()).map_err(Unread::Malformed);
            }
            // Whoever speaks TLS, say, waits for an answer and will not end a header.
            let none = |first: &u8| !first.is_ascii_graphic() && *first != b'\r';
            if waiting.first().is_some_and(none) {
                return Err(Unread::Malformed(
                    "it does not begin with a method".to_owned(),
                ));
            }
            if waiting.len() > MOST_HEADER {
                return Err(Unread::Malformed(format!(
                    "a header of more than {MOST_HEADER} bytes"
                )));
            }
            seen = waiting.len().saturating_sub(3);
            if !matches!(connection.receive().await, Ok(1..)) {
                return Err(Unread::Ended);
            }
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(3, ' ');
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(format!("a request line of {first:?}"));
        };
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(format!("a request of version {version:?}"));
        }
        let headers = lines
            .map(|line| match line.split_once(':') {
                Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
                }
                _ => Err(format!("a header line of {line:?}")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            headers,
        })
    }

    /// All values of that header, in their order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(of)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of that header.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether that header lists that word, in any case.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(word))
    }

    /// Whether its sender knows HTTP/1.1.
    pub(crate) fn is_current(&self) -> bool {
        self.version == "HTTP/1.1"
    }

    /// How its body ends.
    fn framing(&self) -> Result<Rest, String> {
        let codings: Vec<&str> = self.values("transfer-encoding").collect();
        if !codings.is_empty() {
            return match codings.join(", ") {
                one if one.eq_ignore_ascii_case("chunked") => Ok(Rest::Size),
                other => Err(format!("a transfer coding of {other:?}")),
            };
        }
        let mut lengths = self.values("content-length");
        let Some(length) = lengths.next() else {
            return Ok(Rest::Nothing);
        };
        if lengths.any(|other| other != length) {
            return Err("two lengths".to_owned());
        }
        match length.parse() {
            Ok(bytes) if length.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Rest::Bytes(bytes)),
            _ => Err(format!("a length of {length:?}")),
        }
    }
}

/// What of a body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// A chunk that begins with its size.
    Size,
    /// So many bytes of a chunk, and the line end behind them.
    Chunk(u64),
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Incoming {
    framing: &'static str,
    rest: Rest,
    /// Whether 100 has yet to be sent before the body comes.
    expected: bool,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Incoming {
    /// The body that follows this header.
    pub(crate) fn of(head: &Head) -> Result<Self, String> {
        let rest = head.framing()?;
        Ok(Self {
            framing: match rest {
                Rest::Nothing => "none",
                Rest::Bytes(_) => "length",
                Rest::Size | Rest::Chunk(_) => "chunked",
            },
            rest,
            expected: head.is_current() && head.lists("expect", "100-continue"),
            trailers: Vec::new(),
        })
    }

    /// `none`, `length` or `chunked`.
    pub(crate) fn framing(&self) -> &'static str {
        self.framing
    }

    /// Whether all of it was read.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.rest, Rest::Nothing | Rest::Bytes(0))
    }

    /// The next piece, as it comes; none after the last.
    ///
    /// # Errors
    /// [`Gone`] where it ends too early or breaks the rules; then it is not complete.
    pub(crate) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<u8>>, Gone> {
        if self.is_complete() {
            return Ok(None);
        }
        if std::mem::take(&mut self.expected) {
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if self.rest == Rest::Size {
            let line = line(connection).await?;
            let size = line.split(';').next().unwrap_or_default().trim_end();
            let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
            self.rest = match u64::from_str_radix(size, 16) {
                Ok(0) if digits => return self.end(connection).await,
                Ok(bytes) if digits => Rest::Chunk(bytes),
                _ => return Err(Gone),
            };
        }
        let (Rest::Bytes(left) | Rest::Chunk(left)) = self.rest else {
            return Ok(None);
        };
        if connection.waiting().is_empty() && connection.receive().await? == 0 {
            return Err(Gone);
        }
        let piece = connection.take(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        self.rest = match self.rest {
            Rest::Chunk(_) if left == 0 => {
                if !line(connection).await?.is_empty() {
                    return Err(Gone);
                }
                Rest::Size
            }
            Rest::Chunk(_) => Rest::Chunk(left),
            Rest::Nothing | Rest::Bytes(_) | Rest::Size => Rest::Bytes(left),
        };
        Ok(Some(piece))
    }

    /// The trailers behind the last chunk.
    async fn end(&mut self, connection: &mut Connection) -> Result<Option<Vec<u8>>, Gone> {
        loop {
            let line = line(connection).await?;
            if line.is_empty() {
                self.rest = Rest::Nothing;
                return Ok(None);
            }
            let (name, value) = line.split_once(':').ok_or(Gone)?;
            self.trailers
                .push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// A line, without its end.
async fn line(connection: &mut Connection) -> Result<String, Gone> {
    loop {
        let waiting = connection.waiting();
        if let Some(at) = find(waiting, b"\r\n", 0) {
            let line = connection.take(at + 2);
            return Ok(line.iter().take(at).map(|&byte| char::from(byte)).collect());
        }
        if waiting.len() > MOST_LINE || connection.receive().await? == 0 {
            return Err(Gone);
        }
    }
}

/// Where these bytes first stand, from `start` on.
fn find(bytes: &[u8], searched: &[u8], start: usize) -> Option<usize> {
    bytes
        .get(start..)?
        .windows(searched.len())
        .position(|window| window == searched)
        .map(|at| at + start)
}
