//! The query string of `GET /system/logs` (`faas-provider`: `logs/handler.go`).

use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use provider_types::{
    CallContext, FunctionName, FunctionRef, LogRequest, NameError, NameRule, Namespace, Timestamp,
    TimestampError,
};

/// What a client asks of the logs, names not yet checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogQuery {
    /// The function; empty where none was named.
    pub name: String,
    /// Its namespace; empty is the default one.
    pub namespace: String,
    /// Only this instance's lines.
    pub instance: Option<String>,
    /// At most this many of the newest lines; `None`, also for 0 and below, is all.
    pub tail: Option<usize>,
    /// Whether lines that are written later are wanted too.
    pub follow: bool,
    /// Only lines at or after this time.
    pub since: Option<SystemTime>,
}

/// A query that cannot be read. The client gets the message with status 422, as from the Go SDK;
/// what was wrong is the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("could not parse the log request")]
pub enum LogQueryError {
    /// `tail` is no whole number.
    Tail(#[source] std::num::ParseIntError),
    /// `since` is no time. A `+` that is not escaped as `%2B` reads as a blank and ends here too.
    Since(#[source] TimestampError),
}

impl LogQuery {
    /// Reads a query string, the part of the URI after `?`.
    ///
    /// Of a key that comes twice the last value counts. A pair with a bad escape or with `;` in it
    /// is dropped, as are keys that are not known. `follow` is true for `1`, `t`, `T`, `true`,
    /// `True` and `TRUE`, and false for everything else.
    ///
    /// ```
    /// use provider_logs::LogQuery;
    ///
    /// let query = LogQuery::parse("name=figlet&tail=20&follow=1")?;
    /// assert_eq!((query.tail, query.follow), (Some(20), true));
    /// # Ok::<(), provider_logs::LogQueryError>(())
    /// ```
    ///
    /// # Errors
    /// When `tail` is no whole number, or `since` is no RFC 3339 time.
    pub fn parse(query: &str) -> Result<Self, LogQueryError> {
        let mut read = Self::default();
        let (mut tail, mut since) = (String::new(), String::new());
        for (key, value) in query.split('&').filter_map(pair) {
            match key.as_str() {
                "name" => read.name = value,
                "namespace" => read.namespace = value,
                "instance" => read.instance = Some(value).filter(|value| !value.is_empty()),
                "tail" => tail = value,
                "since" => since = value,
                "follow" => {
                    read.follow =
                        matches!(value.as_str(), "1" | "t" | "T" | "true" | "True" | "TRUE");
                }
                _ => {}
            }
        }
        if !tail.is_empty() {
            let number: i64 = tail.parse().map_err(LogQueryError::Tail)?;
            read.tail = usize::try_from(number).ok().filter(|&number| number > 0);
        }
        if !since.is_empty() {
            let time = Timestamp::parse(&since).map_err(LogQueryError::Since)?;
            read.since = Some(time.system_time());
        }
        Ok(read)
    }

    /// Checks the names and makes the request for a [`provider_types::LogSource`].
    ///
    /// # Errors
    /// When no function is named, or a name breaks its rule: status 400.
    pub fn into_request(
        self,
        context: CallContext,
        default_namespace: &Namespace,
        rule: NameRule,
    ) -> Result<LogRequest, NameError> {
        let name = FunctionName::with_rule(&self.name, rule)?;
        let namespace = if self.namespace.is_empty() {
            default_namespace.clone()
        } else {
            Namespace::new(&self.namespace)?
        };
        let mut request = LogRequest::new(context, FunctionRef::new(name, namespace));
        request.instance = self.instance;
        request.since = self.since;
        request.tail = self.tail;
        request.follow = self.follow;
        Ok(request)
    }
}

/// One `key=value`, or nothing where Go's `url.ParseQuery` would drop it.
fn pair(text: &str) -> Option<(String, String)> {
    if text.is_empty() || text.contains(';') {
        return None;
    }
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    Some((unescape(key)?, unescape(value)?))
}

/// `+` is a blank; `%` must be followed by two hex digits. Bytes that are not UTF-8 become U+FFFD:
/// no name holds them.
fn unescape(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let escapes_are_whole = bytes.iter().enumerate().all(|(at, &byte)| {
        byte != b'%'
            || matches!(bytes.get(at + 1..at + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit))
    });
    escapes_are_whole.then(|| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    })
}

#[cfg(test)]
mod tests;
