//! The head of an answer, read strictly. RFC 9112 sections 2 to 5.

use std::fmt;

use super::error::WireError;

/// Names and values of headers, or of trailers, in their order and spelling.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(name, value): &(String, Vec<u8>)| {
            let value = String::from_utf8_lossy(value);
            format!("{name}: {value}")
        };
        f.debug_list().entries(self.0.iter().map(text)).finish()
    }
}

impl Headers {
    /// The first value with this name, in any case; empty bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// Every value with this name, in any case.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        let same = |(have, _): &&(String, Vec<u8>)| have.eq_ignore_ascii_case(name);
        let text = |(_, value): &(String, Vec<u8>)| String::from_utf8_lossy(value).into_owned();
        self.0.iter().filter(same).map(text).collect()
    }

    /// Whether there is one with this name, in any case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(have, _)| have.eq_ignore_ascii_case(name))
    }

    /// Whether one of the elements of a list, over all its lines, is this word in any case.
    #[must_use]
    pub fn lists(&self, name: &str, word: &str) -> bool {
        let values = self.all(name);
        let mut elements = values.iter().flat_map(|value| value.split(','));
        elements.any(|element| element.trim().eq_ignore_ascii_case(word))
    }
}

/// A status line and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// 0 or 1, of HTTP/1.0 or 1.1.
    pub minor: u8,
    /// The status.
    pub status: u16,
    /// The words behind it, mostly of no meaning.
    pub reason: String,
    /// The headers.
    pub headers: Headers,
}

impl Head {
    /// Reads a head, which ends with its empty line.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut lines = Lines(bytes);
        let line = lines.next_line()?;
        let text = printable(line)?;
        let malformed = || WireError::Malformed(format!("status line {text:?}"));
        let (version, rest) = text.split_once(' ').ok_or_else(malformed)?;
        let minor = match version {
            "HTTP/1.1" => 1,
            "HTTP/1.0" => 0,
            _ => return Err(malformed()),
        };
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let status = status.parse().map_err(|_| malformed())?;
        if !(100..600).contains(&status) {
            return Err(malformed());
        }
        Ok(Self {
            minor,
            status,
            reason: reason.to_owned(),
            headers: fields(&mut lines)?,
        })
    }
}

/// Reads trailers, which end with an empty line.
pub(super) fn trailers(bytes: &[u8]) -> Result<Headers, WireError> {
    fields(&mut Lines(bytes))
}

fn fields(lines: &mut Lines<'_>) -> Result<Headers, WireError> {
    let mut fields = Vec::new();
    loop {
        let line = lines.next_line()?;
        if line.is_empty() {
            return Ok(Headers(fields));
        }
        let shown = String::from_utf8_lossy(line).into_owned();
        let malformed = |what: &str| WireError::Malformed(format!("{what} in {shown:?}"));
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or_else(|| malformed("no colon"))?);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(malformed("a name that is none"));
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if value
            .iter()
            .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
        {
            return Err(malformed("a control character"));
        }
        fields.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn printable(line: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(line)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| WireError::Malformed(format!("{:?}", String::from_utf8_lossy(line))))
}

/// Lines that end with CR LF and nothing else.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn next_line(&mut self) -> Result<&'a [u8], WireError> {
        let feed = self.0.iter().position(|byte| *byte == b'\n');
        let feed = feed.ok_or_else(|| WireError::Malformed("a line without end".to_owned()))?;
        let (line, rest) = self.0.split_at(feed);
        self.0 = rest.get(1..).unwrap_or_default();
        line.strip_suffix(b"\r").ok_or_else(|| {
            let line = String::from_utf8_lossy(line);
            WireError::Malformed(format!(
                "a line that ends without a carriage return: {line:?}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn a_head_is_read_with_its_headers_in_order() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nA: 1\r\nb:2 \r\na:\r\n\r\n").unwrap();
        assert_eq!(
            (head.minor, head.status, head.reason.as_str()),
            (1, 200, "OK")
        );
        assert_eq!(head.headers.all("A"), ["1", ""]);
        assert_eq!(head.headers.get("B").as_deref(), Some("2"));
    }

    #[test]
    fn what_is_not_exactly_http_is_refused() {
        for bytes in [
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\nA: 1\n\r\n",
            "HTTP/1.1 200 OK\r\nA : 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \u{1}\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnothing\r\n\r\n",
        ] {
            assert!(Head::parse(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
