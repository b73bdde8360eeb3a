//! Start lines and headers.

use std::io;

use bytes::Buf;
use tokio::io::AsyncRead;

use super::Reader;

const MAX_BYTES: usize = 256 * 1024;
const MAX_HEADERS: usize = 2_000;

/// The three parts of a start line, and the headers below it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// The method of a request, the version of a reply.
    pub(crate) first: String,
    /// The target of a request, the status of a reply.
    pub(crate) second: Vec<u8>,
    /// The version of a request, the reason of a reply.
    pub(crate) third: Vec<u8>,
    pub(crate) headers: Headers,
}

impl Head {
    /// The status of a reply; 0 where it is none.
    pub(crate) fn status(&self) -> u16 {
        let text = std::str::from_utf8(&self.second).ok();
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The head as it goes out.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        for (part, end) in [
            (self.first.as_bytes(), &b" "[..]),
            (&self.second, b" "),
            (&self.third, b"\r\n"),
        ] {
            out.extend_from_slice(part);
            out.extend_from_slice(end);
        }
        for (name, value) in &self.headers.0 {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// Headers in their order, as they were written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, Vec<u8>)>);

impl Headers {
    pub(crate) fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.push((name.to_owned(), value.as_ref().to_vec()));
    }

    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.add(name, value);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |(other, _): &&(String, Vec<u8>)| other.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .filter(named)
            .map(|(_, value)| value.as_slice())
    }

    pub(crate) fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The first value as text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.first(name).unwrap_or_default()).into_owned()
    }

    /// The elements of all values, in lower case.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let values = self.all(name).map(String::from_utf8_lossy);
        values
            .flat_map(|value| {
                let elements = value.split(',').map(|one| one.trim().to_ascii_lowercase());
                elements.collect::<Vec<_>>()
            })
            .filter(|element| !element.is_empty())
            .collect()
    }
}

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The connection ended before the first byte.
    Ended,
    /// The connection ended within the head, or failed.
    Broken,
    /// There is too much of it.
    TooLarge,
    /// What is wrong with it.
    Malformed(&'static str),
    /// The same, where it is the target.
    Target(&'static str),
    /// The same, where it does not begin as HTTP does.
    NoHttp(&'static str),
}

impl From<io::Error> for HeadError {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// What a reader takes although it should not; nothing, but for defects.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Leniency {
    /// Lines end with both; a line feed alone is part of one.
    pub(crate) line_feed_in_value: bool,
    /// A header's value may hold NUL and carriage returns.
    pub(crate) control: bool,
    /// A blank may stand before the colon.
    pub(crate) blank_before_colon: bool,
    /// A line that goes on is cut off.
    pub(crate) fold: bool,
    /// What stands behind a second blank in the target is left out.
    pub(crate) blank_in_target: bool,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The next head.
    pub(crate) async fn head(&mut self, lenient: Leniency) -> Result<Head, HeadError> {
        let mut seen = 0;
        let end = loop {
            // A message may follow an empty line (RFC 9112 section 2.2).
            while self.buffer.starts_with(b"\r\n") {
                self.buffer.advance(2);
                seen = 0;
            }
            if let Some(end) = end_of_head(&self.buffer, seen, lenient) {
                break end;
            }
            if self.buffer.len() > MAX_BYTES {
                return Err(HeadError::TooLarge);
            }
            seen = self.buffer.len().saturating_sub(4);
            let first = self.buffer.is_empty();
            if !self.fill().await? {
                return Err(if first {
                    HeadError::Ended
                } else {
                    HeadError::Broken
                });
            }
        };
        let bytes = self.buffer.split_to(end);
        parse(&bytes, lenient)
    }
}

/// Where the head ends. A line feed alone ends it too, so that it is refused at once.
fn end_of_head(bytes: &[u8], from: usize, lenient: Leniency) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let ends: &[&[u8]] = if lenient.line_feed_in_value {
        &[b"\r\n\r\n"]
    } else {
        &[b"\r\n\r\n", b"\n\n", b"\n\r\n"]
    };
    let found = ends
        .iter()
        .map(|end| Some(from + find(rest, end)? + end.len()));
    found.flatten().min()
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn parse(bytes: &[u8], lenient: Leniency) -> Result<Head, HeadError> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (line, behind) = if lenient.line_feed_in_value {
            let end = find(rest, b"\r\n").unwrap_or(rest.len());
            (rest.get(..end), rest.get(end + 2..))
        } else {
            let end = find(rest, b"\n").unwrap_or(rest.len());
            (rest.get(..end), rest.get(end + 1..))
        };
        let line = line.unwrap_or_default();
        rest = behind.unwrap_or_default();
        let whole = line.strip_suffix(b"\r");
        if whole.is_none() && !lenient.line_feed_in_value {
            return Err(HeadError::Malformed("a line ends with a line feed alone"));
        }
        lines.push(whole.unwrap_or(line));
    }
    let mut lines = lines.into_iter();
    let start = lines.next().unwrap_or_default();
    let mut head = parse_start(start, lenient)?;
    for line in lines {
        if line.is_empty() {
            break;
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if lenient.fold {
                continue;
            }
            return Err(HeadError::Malformed("a header line is folded"));
        }
        if head.headers.0.len() >= MAX_HEADERS {
            return Err(HeadError::TooLarge);
        }
        let (name, value) = parse_line(line, lenient)?;
        head.headers.0.push((name, value));
    }
    Ok(head)
}

fn parse_start(line: &[u8], lenient: Leniency) -> Result<Head, HeadError> {
    if line.iter().any(|byte| byte.is_ascii_control()) {
        let text = "the first line has a control character";
        let has_target = line.windows(2).any(|two| two == b" /");
        return Err(if has_target {
            HeadError::Target(text)
        } else {
            HeadError::NoHttp(text)
        });
    }
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let mut next = || parts.next().unwrap_or_default();
    let (first, second, mut third) = (next(), next(), next());
    if first.is_empty() || second.is_empty() {
        return Err(HeadError::NoHttp("the first line is none of HTTP"));
    }
    let is_reply = first.starts_with(b"HTTP/");
    if !is_reply && third.contains(&b' ') {
        if !lenient.blank_in_target {
            return Err(HeadError::Target("there is a blank in the target"));
        }
        third = third
            .rsplit(|byte| *byte == b' ')
            .next()
            .unwrap_or_default();
    }
    if !is_reply && !first.iter().all(|byte| is_token(*byte)) {
        return Err(HeadError::NoHttp("the method is none"));
    }
    Ok(Head {
        first: String::from_utf8_lossy(first).into_owned(),
        second: second.to_vec(),
        third: third.to_vec(),
        headers: Headers::default(),
    })
}

pub(super) fn parse_line(line: &[u8], lenient: Leniency) -> Result<(String, Vec<u8>), HeadError> {
    let colon = line.iter().position(|byte| *byte == b':');
    let Some((mut name, value)) = colon.and_then(|at| line.split_at_checked(at)) else {
        return Err(HeadError::Malformed("a header line has no colon"));
    };
    if lenient.blank_before_colon {
        name = name.trim_ascii_end();
    }
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(HeadError::Malformed("the name of a header is none"));
    }
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let bad = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if value.iter().any(bad) && !lenient.control && !lenient.line_feed_in_value {
        return Err(HeadError::Malformed("a header has a control character"));
    }
    Ok((String::from_utf8_lossy(name).into_owned(), value.to_vec()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
