//! What the API answers.

use std::sync::Arc;

use serde_json::Value;

use crate::logs::Logs;

/// An answer, also one that refuses.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Content,
}

/// What follows the header of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Whole(Vec<u8>),
    /// Lines of a function, from a number on.
    Lines(Box<Follow>),
}

/// Which lines of a function are wanted.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) logs: Arc<Logs>,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) follow: bool,
    pub(crate) tail: Option<usize>,
    pub(crate) since: Option<time::OffsetDateTime>,
    pub(crate) instance: String,
}

impl Answer {
    /// A status and nothing else.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Content::Whole(Vec::new()),
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::of(status, "application/json", value.to_string())
    }

    /// A line that says what was wrong.
    pub(crate) fn text(status: u16, text: impl std::fmt::Display) -> Self {
        Self::of(status, "text/plain; charset=utf-8", format!("{text}\n"))
            .with("X-Content-Type-Options", "nosniff")
    }

    pub(crate) fn of(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::empty(status).with("Content-Type", kind);
        answer.body = Content::Whole(body.into());
        answer
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a status is called.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        301 => "Moved Permanently",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
