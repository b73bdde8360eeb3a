//! Reads a system call: its query, its body, and the names in them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use provider_types::{CallContext, FunctionName, FunctionRef, Identity, Namespace};

use crate::app::App;
use crate::call::{RequestId, Subject};
use crate::respond::Failure;

/// What is known of a call besides its body.
#[derive(Debug)]
pub(crate) struct SystemCall {
    pub(crate) context: CallContext,
    query: Vec<(String, String)>,
    subject: Subject,
}

impl FromRequestParts<Arc<App>> for SystemCall {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        let id = match parts.extensions.get::<RequestId>() {
            Some(id) => id.clone(),
            None => RequestId::of(&parts.headers),
        };
        let caller = parts.extensions.get::<Identity>().cloned();
        let subject = parts
            .extensions
            .get::<Subject>()
            .cloned()
            .unwrap_or_default();
        if let Some(caller) = &caller {
            let _ = subject.caller.set(caller.clone());
        }
        let query = Query::try_from_uri(&parts.uri).map_or_else(|_| Vec::new(), |Query(q)| q);
        Ok(Self {
            context: CallContext::new(id.0).with_caller(caller),
            query,
            subject,
        })
    }
}

impl SystemCall {
    /// The first value of a query key, as Go's handlers read it; an empty one counts as absent.
    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(name, _)| name == key);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The namespace that body and query name together: the body's, else the query's, else the
    /// default one. Two that differ are a contradiction.
    pub(crate) fn namespace(&self, app: &App, in_body: &str) -> Result<Namespace, Failure> {
        let in_query = self.query("namespace");
        let in_body = Some(in_body).filter(|name| !name.is_empty());
        if let (Some(in_body), Some(in_query)) = (in_body, in_query) {
            if in_body != in_query {
                return Err(Failure::bad_request(format!(
                    "the body names the namespace {in_body:?} and the query {in_query:?}: \
                     name one, or the same twice"
                )));
            }
        }
        match in_body.or(in_query) {
            Some(name) => Ok(Namespace::new(name)?),
            None => Ok(app.config.default_namespace.clone()),
        }
    }

    /// A function of a namespace, checked and noted for the log.
    pub(crate) fn function(
        &self,
        app: &App,
        name: &str,
        namespace: Namespace,
    ) -> Result<FunctionRef, Failure> {
        let name = FunctionName::with_rule(name, app.config.name_rule)?;
        let function = FunctionRef::new(name, namespace);
        self.is_about(&function);
        Ok(function)
    }

    /// Notes for the log what the call is about.
    pub(crate) fn is_about(&self, subject: &impl ToString) {
        let _ = self.subject.name.set(subject.to_string());
    }
}

/// A body, read whole within its limit.
#[derive(Debug)]
pub(crate) struct Payload(pub(crate) Bytes);

impl FromRequest<Arc<App>> for Payload {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let limit = app.config.max_body_bytes;
        let body = request.into_body();
        // What was announced too long is refused before a byte is read.
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large(limit));
        }
        let read = Limited::new(body, limit).collect();
        match tokio::time::timeout(app.config.body_timeout, read).await {
            Ok(Ok(whole)) => Ok(Self(whole.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
            Ok(Err(error)) => Err(Failure::bad_request(format!(
                "the body could not be read: {error}"
            ))),
            Err(_) => Err(Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "the body did not arrive within {:?} (read_timeout)",
                    app.config.body_timeout
                ),
            )),
        }
    }
}

fn too_large(limit: usize) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than the limit of {limit} bytes"),
    )
}
