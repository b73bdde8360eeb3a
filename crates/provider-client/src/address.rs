//! Where a provider is.

use std::path::PathBuf;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Error;

/// What stays as it is in a segment of a path: unreserved characters. RFC 3986 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where a provider or a gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without a slash at its end.
    pub(crate) base: String,
    pub(crate) socket: Option<PathBuf>,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Url {
            url: url.to_owned(),
            problem: problem.to_owned(),
        };
        if let Some(path) = url.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self {
                    base: "http://localhost".to_owned(),
                    socket: Some(PathBuf::from(path)),
                })
            } else {
                Err(wrong(
                    "a Unix socket is named by its whole path: unix:/run/provider.sock",
                ))
            };
        }
        let base = url.trim_end_matches('/');
        let uri: Uri = base
            .parse()
            .map_err(|error| wrong(&format!("{error}; use http://HOST:PORT or unix:PATH")))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(wrong("use http://HOST:PORT or unix:PATH")),
        }
        let has_user = uri
            .authority()
            .is_some_and(|host| host.as_str().contains('@'));
        if uri.query().is_some() || has_user {
            return Err(wrong(
                "it has a query, or credentials: give those by themselves",
            ));
        }
        Ok(Self {
            base: base.to_owned(),
            socket: None,
        })
    }
}

/// Something that a caller names, as a segment of a path.
pub(crate) fn segment(name: &str) -> String {
    match name {
        // A URL would be cleaned of them.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        name => utf8_percent_encode(name, SEGMENT).to_string(),
    }
}

/// A query of these pairs, with its mark; those without a value are left out.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if let Some(value) = value {
            text.push(if text.is_empty() { '?' } else { '&' });
            text.push_str(key);
            text.push('=');
            text.push_str(&segment(&value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, base, socket) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", None),
            ("http://h/openfaas//", "http://h/openfaas", None),
            ("unix:/run/p.sock", "http://localhost", Some("/run/p.sock")),
            (
                "unix:///run/p.sock",
                "http://localhost",
                Some("/run/p.sock"),
            ),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.base, base, "{url}");
            assert_eq!(address.socket, socket.map(PathBuf::from), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:8080",
            "http://",
            "ftp://h",
            "unix:",
            "unix:p.sock",
            "http://h?x=1",
            "http://u:p@h",
            "http://h h",
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(&format!("{url:?}")), "{error}");
        }
    }

    #[test]
    fn what_a_caller_names_stays_one_segment() {
        assert_eq!(segment("a-b.c_d~1"), "a-b.c_d~1");
        assert_eq!(segment("a/b?c#d e%"), "a%2Fb%3Fc%23d%20e%25");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(
            query([
                ("a", Some("1&2".to_owned())),
                ("b", None),
                ("c", Some(String::new()))
            ]),
            "?a=1%262&c="
        );
        assert_eq!(query([("a", None)]), "");
    }
}
