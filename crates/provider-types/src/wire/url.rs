//! A URL from its text and back, as Go's `net/url` takes it apart and puts it together.

use std::fmt;

use super::queue::{CallbackUrl, Userinfo};

/// Which part of a URL a text is; they differ in the characters that need no escape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Fragment,
}

impl CallbackUrl {
    /// Takes a URL apart; `None` where it has no scheme or is not well-formed.
    ///
    /// Credentials in it are dropped, as they are on the wire; that there were any is kept.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.chars().any(|c| c.is_ascii_control() || c == ' ') {
            return None;
        }
        let mut url = Self::default();
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        (url.fragment, url.raw_fragment) = decoded(fragment, Part::Fragment)?;

        let (scheme, rest) = text.split_once(':')?;
        let mut letters = scheme.chars();
        if !letters.next()?.is_ascii_alphabetic()
            || !letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        {
            return None;
        }
        url.scheme = scheme.to_ascii_lowercase();

        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        query.clone_into(&mut url.raw_query);
        url.force_query = query.is_empty() && text.ends_with('?');

        if !rest.starts_with('/') {
            rest.clone_into(&mut url.opaque);
            return Some(url);
        }
        let path = match rest.strip_prefix("//") {
            None => {
                url.omit_host = true;
                rest
            }
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(end)?;
                let host = match authority.rsplit_once('@') {
                    None => authority,
                    Some((_, host)) => {
                        url.user = Some(Userinfo::default());
                        host
                    }
                };
                host.clone_into(&mut url.host);
                path
            }
        };
        (url.path, url.raw_path) = decoded(path, Part::Path)?;
        Some(url)
    }
}

impl fmt::Display for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if self.opaque.is_empty() {
            let path = encoded(&self.path, &self.raw_path, Part::Path);
            if !self.host.is_empty() || !(self.scheme.is_empty() || self.omit_host) {
                write!(f, "//{}", self.host)?;
                if !path.is_empty() && !path.starts_with('/') {
                    f.write_str("/")?;
                }
            }
            f.write_str(&path)?;
        } else {
            f.write_str(&self.opaque)?;
        }
        if self.force_query || !self.raw_query.is_empty() {
            write!(f, "?{}", self.raw_query)?;
        }
        if !self.fragment.is_empty() {
            let fragment = encoded(&self.fragment, &self.raw_fragment, Part::Fragment);
            write!(f, "#{fragment}")?;
        }
        Ok(())
    }
}

/// The decoded text, and the text as it stood if Go would not encode it that way.
fn decoded(raw: &str, part: Part) -> Option<(String, String)> {
    let bytes = unescape(raw)?;
    let kept = if escape(&bytes, part) == raw { "" } else { raw };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Some((text, kept.to_owned()))
}

/// The kept text where it still means the same, else the decoded one, escaped.
fn encoded(text: &str, kept: &str, part: Part) -> String {
    let plain = |byte: u8| is_plain(byte, part) || b"!'()*[]%".contains(&byte);
    if !kept.is_empty()
        && kept.bytes().all(plain)
        && unescape(kept).is_some_and(|bytes| bytes == text.as_bytes())
    {
        kept.to_owned()
    } else {
        escape(text.as_bytes(), part)
    }
}

fn unescape(raw: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

fn escape(bytes: &[u8], part: Part) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if is_plain(byte, part) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn is_plain(byte: u8, part: Part) -> bool {
    byte.is_ascii_alphanumeric()
        || b"-_.~$&+,/:;=@".contains(&byte)
        || (part == Part::Fragment && b"!()*?".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_put_together_as_it_was() {
        for text in [
            "http://cb:8080/p",
            "https://[::1]:8080",
            "http://cb/a%2Fb/%C3%A9?x=%2B&y#frag!",
            "http://cb/(x)",
            "http://cb/?",
            "http://cb?a=1",
            "mailto:someone",
            "file:/x",
        ] {
            assert_eq!(CallbackUrl::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn credentials_are_not_kept() {
        let url = CallbackUrl::parse("http://user:secret@cb/p").unwrap();
        assert!(url.user.is_some());
        assert_eq!(url.to_string(), "http://cb/p");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for bad in [
            "",
            "cb/p",
            "1http://x",
            "http://a b",
            "http://cb/%zz",
            "http://cb/%2",
        ] {
            assert!(CallbackUrl::parse(bad).is_none(), "{bad:?} was taken");
        }
    }
}
