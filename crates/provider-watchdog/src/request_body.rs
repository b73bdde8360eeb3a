//! A request's body as it arrives: bounded in silence, and in size where it has to be held whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::{Sleep, sleep};

use crate::reply::{BoxError, Failure};

/// A request's body; silence for longer than `read_timeout` is an error.
pub(crate) struct RequestBody {
    incoming: Incoming,
    limit: Option<Duration>,
    silence: Option<Pin<Box<Sleep>>>,
}

/// Why a request's body did not arrive.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    #[error("the request's body did not go on for {0:?} (read_timeout)")]
    Silent(Duration),
    #[error("the request's body broke off")]
    Broken(#[source] hyper::Error),
    #[error("the request's body is larger than {0} bytes (max_buffered_bytes)")]
    TooLarge(usize),
}

// === impl RequestBody ===

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, limit: Option<Duration>) -> Self {
        Self {
            incoming,
            limit,
            silence: None,
        }
    }

    /// Its length, where the request states it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The next bytes; None at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            match self.frame().await? {
                Ok(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some(Ok(bytes));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The whole of it, if it is not larger than `most` bytes.
    pub(crate) async fn whole(mut self, most: usize) -> Result<Bytes, BodyError> {
        if self.length().is_some_and(|length| length > most as u64) {
            return Err(BodyError::TooLarge(most));
        }
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await {
            let bytes = bytes?;
            if whole.len() + bytes.len() > most {
                return Err(BodyError::TooLarge(most));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let Some(limit) = this.limit else {
            return Poll::Pending;
        };
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyError::Silent(limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

// === impl BodyError ===

impl BodyError {
    pub(crate) fn into_failure(self) -> Failure {
        let status = match &self {
            Self::Silent(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Failure::of_caller(status, self.to_string())
    }

    /// Finds such an error among the causes of another.
    pub(crate) fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(Self::Silent(limit)) = error.downcast_ref() {
                return Some(Self::Silent(*limit).into_failure());
            }
            cause = error.source();
        }
        None
    }

    pub(crate) fn boxed(self) -> BoxError {
        Box::new(self)
    }
}
