//! A look before the run: whether there is a provider at all.

use std::sync::Arc;

use thiserror::Error;

use crate::context::{Context, Shared, Stop};
use crate::wire::{Answer, WireError};

/// Why nothing could be checked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// Nobody answers.
    #[error("{url} cannot be reached")]
    #[non_exhaustive]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What came instead of an answer.
        source: WireError,
    },
    /// The credentials are wrong, or there are none.
    #[error("{url} does not take the credentials: {hint}")]
    #[non_exhaustive]
    Credentials {
        /// Where it is.
        url: String,
        /// What to do.
        hint: &'static str,
    },
    /// Something else is there.
    #[error("{url} is no OpenFaaS provider: GET /system/functions was answered with {answer}")]
    #[non_exhaustive]
    NoProvider {
        /// Where it is.
        url: String,
        /// What it said.
        answer: String,
    },
    /// The kit failed.
    #[error("the kit failed: {0}")]
    Kit(String),
}

/// What the provider says of itself.
#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) provider: String,
    pub(super) release: String,
    pub(super) orchestration: String,
}

pub(super) async fn look(shared: &Shared) -> Result<Info, RunError> {
    let cx = Context::new(Arc::new(shared.clone()), &[]);
    let url = shared.target.address.to_string();
    let functions = ask(&cx, "/system/functions").await?;
    if matches!(functions.status(), 401 | 403) {
        return Err(RunError::Credentials {
            url,
            hint: match shared.target.credentials {
                Some(_) => "is the user right, and the password?",
                None => "it asks for some; give --user and --password-file",
            },
        });
    }
    let info = ask(&cx, "/system/info").await?;
    let lists = functions.status() == 200 && functions.json().is_ok_and(|list| list.is_array());
    // `{}` is said by many a server that is none.
    let object = info
        .json()
        .ok()
        .filter(|info| info.get("provider").is_some());
    let informs = info.status() == 200 && object.is_some();
    if !lists && !informs {
        return Err(RunError::NoProvider {
            url,
            answer: cx.redacted(&functions.shown()),
        });
    }
    let object = object.unwrap_or_default();
    // A gateway wraps the object of its provider.
    let inner = match object.get("provider") {
        Some(inner) if inner.is_object() => inner.clone(),
        _ => object,
    };
    let text = |pointer| {
        let value = inner.pointer(pointer).and_then(serde_json::Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    Ok(Info {
        provider: text("/provider"),
        release: text("/version/release"),
        orchestration: text("/orchestration"),
    })
}

async fn ask(cx: &Context, target: &str) -> Result<Answer, RunError> {
    cx.get(target).await.map_err(|stop| stopped(stop, cx))
}

/// The run cannot go on without an answer.
pub(super) fn stopped(stop: Stop, cx: &Context) -> RunError {
    match stop {
        Stop::Provider { source, .. } => RunError::Unreachable {
            url: cx.address().to_string(),
            source,
        },
        stop => RunError::Kit(cx.redacted(&stop.to_string())),
    }
}
