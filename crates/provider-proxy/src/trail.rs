//! What a call came with to be found again by, for the lines in the log that are about it.

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Level;

use crate::headers::X_CALL_ID;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context, 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Anything longer is no id, and would flood the log.
const LONGEST: usize = 128;

/// The ids of a call. Empty where no warning would be logged, so that calls do not pay for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    call_id: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
}

impl Trail {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if !tracing::enabled!(Level::WARN) {
            return Self::default();
        }
        let of = |name: HeaderName| headers.get(name).cloned();
        Self {
            call_id: of(X_CALL_ID).or_else(|| of(X_REQUEST_ID)),
            traceparent: of(TRACEPARENT),
        }
    }

    /// `X-Call-Id`, which a gateway or we ourselves gave the call, or `X-Request-Id`.
    pub(crate) fn call_id(&self) -> Option<&str> {
        text(self.call_id.as_ref())
    }

    pub(crate) fn traceparent(&self) -> Option<&str> {
        text(self.traceparent.as_ref())
    }
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok().filter(|id| id.len() <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_id_goes_before_the_request_id_and_an_endless_one_is_none() {
        let trail = |pairs: &[(HeaderName, &str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
                .collect();
            // Something has to listen, or nothing is kept.
            let listening = tracing_subscriber::fmt()
                .with_writer(std::io::sink)
                .finish();
            let trail = tracing::subscriber::with_default(listening, || Trail::of(&headers));
            trail.call_id().map(str::to_owned)
        };
        assert_eq!(trail(&[]), None);
        let both = [(X_REQUEST_ID, "r"), (X_CALL_ID, "c")];
        assert_eq!(trail(&both).as_deref(), Some("c"));
        assert_eq!(trail(&both[..1]).as_deref(), Some("r"));
        assert_eq!(trail(&[(X_CALL_ID, &"x".repeat(129))]), None);
    }
}
