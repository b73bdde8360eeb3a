//! One call from its arrival to the end of its reply: counted, measured and logged.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use thiserror::Error;
use tokio::time::Instant;

use crate::gauge::Counted;
use crate::reply::{Body, BoxError};
use crate::serve::Shared;
use crate::{Logs, Mode};

/// nginx's code for a client that left before it had its reply.
const CLIENT_LEFT: u16 = 499;

/// A call that goes on. Dropping it ends it: it is measured and logged then.
pub(crate) struct Call {
    shared: Arc<Shared>,
    method: Method,
    target: String,
    call_id: Option<String>,
    started: Instant,
    status: Option<StatusCode>,
    sent: u64,
    /// The whole reply was handed over.
    complete: bool,
    metered: bool,
    logged: bool,
    _counted: Counted,
}

/// The body of a reply, which ends the call that it is for.
pub(crate) struct CallBody {
    inner: Body,
    /// None for a health check that does not ask the function.
    call: Option<Call>,
}

/// Why a reply was cut.
#[derive(Debug, Error)]
#[error("the reply was cut")]
pub(crate) struct Cut(#[source] BoxError);

// === impl Call ===

impl Call {
    /// A call that begins; it is counted already. `metered` is false for a health check that
    /// asks the function.
    pub(crate) fn new<B>(
        shared: &Arc<Shared>,
        request: &Request<B>,
        counted: Counted,
        metered: bool,
    ) -> Self {
        let text = |name| {
            let value = request.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let probe = text(USER_AGENT).is_some_and(|agent| agent.starts_with("kube-probe"));
        let target = request.uri().path_and_query();
        Self {
            shared: Arc::clone(shared),
            method: request.method().clone(),
            target: target.map_or_else(|| "/".to_owned(), ToString::to_string),
            call_id: shared.config.log_call_id.then(|| {
                text(http::HeaderName::from_static("x-call-id"))
                    .unwrap_or_else(|| "none".to_owned())
            }),
            started: Instant::now(),
            status: None,
            sent: 0,
            complete: false,
            metered,
            logged: !probe,
            _counted: counted,
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Gives the call to its reply.
    pub(crate) fn answer(mut self, response: Response<Body>) -> Response<CallBody> {
        let status = response.status();
        self.status = Some(status);
        let bodyless = self.method == Method::HEAD
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || status.is_informational();
        self.complete = bodyless || response.body().is_end_stream();
        response.map(|inner| CallBody {
            inner,
            call: Some(self),
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let code = self.status.map_or(CLIENT_LEFT, |status| status.as_u16());
        if self.metered {
            self.shared.metrics.observe(&self.method, code, took);
        }
        if !self.logged {
            return;
        }
        let status = match (self.status, self.shared.config.mode) {
            (None, _) => "499 Client Closed Request".to_owned(),
            (Some(status), Mode::Streaming | Mode::Serializing) => status.as_str().to_owned(),
            (Some(status), Mode::Http | Mode::Static) => {
                let reason = status.canonical_reason().unwrap_or_default();
                format!("{} {reason}", status.as_str())
                    .trim_end()
                    .to_owned()
            }
        };
        let logs: &Logs = &self.shared.logs;
        let Self { method, target, .. } = self;
        let length = HumanSize(self.sent);
        let took = took.as_secs_f64();
        let broken = if self.complete || self.status.is_none() {
            ""
        } else {
            " (cut short)"
        };
        let id = match &self.call_id {
            Some(id) => format!(" [{id}]"),
            None => String::new(),
        };
        logs.note(format_args!(
            "{method} {target} - {status} - ContentLength: {length} ({took:.4}s){broken}{id}"
        ));
    }
}

// === impl CallBody ===

impl From<Body> for CallBody {
    fn from(inner: Body) -> Self {
        Self { inner, call: None }
    }
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(call) = &mut this.call {
            match &frame {
                Some(Ok(frame)) => {
                    call.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                    call.complete = this.inner.is_end_stream();
                }
                Some(Err(_)) => call.complete = false,
                None => call.complete = true,
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Cut)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A number of bytes for people, four digits and a unit. Go: `units.HumanSize`.
struct HumanSize(u64);

impl fmt::Display for HumanSize {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.0 as f64;
        let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
        let mut unit = units.next().unwrap_or_default();
        while size >= 1000.0 {
            size /= 1000.0;
            unit = units.next().unwrap_or(unit);
        }
        let decimals = match size {
            size if size < 10.0 => 3,
            size if size < 100.0 => 2,
            _ => 1,
        };
        let digits = format!("{size:.decimals$}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{digits}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_the_watchdogs_do() {
        for (bytes, text) in [
            (0, "0B"),
            (83, "83B"),
            (100, "100B"),
            (999, "999B"),
            (1_000, "1kB"),
            (1_234, "1.234kB"),
            (12_345, "12.35kB"),
            (123_450_000, "123.5MB"),
        ] {
            assert_eq!(HumanSize(bytes).to_string(), text);
        }
    }
}
