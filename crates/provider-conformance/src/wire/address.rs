//! Where the target listens.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// A TCP address or a Unix socket, and the path that the API is under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) place: Place,
    /// What `Host` says.
    pub(crate) host: String,
    /// Without a slash at its end; mostly empty.
    pub(crate) prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// What is wrong with a URL.
#[derive(Debug, Error)]
#[error("{url:?} is no address of a provider: {problem}")]
pub struct AddressError {
    url: String,
    problem: &'static str,
}

impl Address {
    /// Reads `http://HOST[:PORT][/PREFIX]` or `unix:/PATH`.
    ///
    /// # Errors
    /// For anything else; `https` too, for the kit speaks no TLS.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let wrong = |problem| AddressError {
            url: url.to_owned(),
            problem,
        };
        if let Some(path) = url.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(wrong("use unix:/PATH with the whole path of the socket"));
            }
            return Ok(Self {
                place: Place::Unix(PathBuf::from(path)),
                host: "localhost".to_owned(),
                prefix: String::new(),
            });
        }
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(wrong(if url.starts_with("https://") {
                "the kit speaks no TLS: use the address behind your TLS proxy"
            } else {
                "use http://HOST:PORT or unix:/PATH"
            }));
        };
        if rest.contains(['?', '#', '@', ' ']) {
            return Err(wrong(
                "it has a query, a blank or credentials: give credentials by themselves",
            ));
        }
        let (host, prefix) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (
                name,
                port.parse()
                    .map_err(|_| wrong("the port is no number from 1 to 65535"))?,
            ),
            _ => (host, 80),
        };
        if name.is_empty() || port == 0 {
            return Err(wrong("use http://HOST:PORT"));
        }
        Ok(Self {
            place: Place::Tcp {
                host: name.trim_matches(['[', ']']).to_owned(),
                port,
            },
            host: host.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { .. } => write!(f, "http://{}{}", self.host, self.prefix),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for url in [
            "http://127.0.0.1:8080",
            "http://gateway",
            "http://[::1]:8080/faas",
            "unix:/run/provider.sock",
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_right() {
        for (url, hint) in [
            ("https://gateway", "no TLS"),
            ("gateway:8080", "http://HOST:PORT"),
            ("http://:8080", "http://HOST:PORT"),
            ("http://gateway:0", "http://HOST:PORT"),
            ("http://gateway:x", "1 to 65535"),
            ("http://admin:secret@gateway", "by themselves"),
            ("unix:run.sock", "whole path"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(hint), "{url}: {error}");
        }
    }
}
