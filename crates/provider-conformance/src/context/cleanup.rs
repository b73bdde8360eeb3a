//! What a case created, and how it goes away again.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use provider_types::wire::{self, DeleteFunctionRequest, FunctionNamespace, Secret};

use super::{Context, Stop, status_target};
use crate::wire::Request;

/// Something on the target that a case created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Created {
    /// A function.
    Function {
        /// Its name.
        name: String,
        /// Its namespace; empty for the default one.
        namespace: String,
    },
    /// A secret.
    Secret {
        /// Its name.
        name: String,
        /// Its namespace; empty for the default one.
        namespace: String,
    },
    /// A namespace.
    Namespace {
        /// Its name.
        name: String,
    },
}

impl Created {
    /// A function; an empty namespace is the default one.
    #[must_use]
    pub fn function(name: &str, namespace: &str) -> Self {
        Self::Function {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    /// A secret; an empty namespace is the default one.
    #[must_use]
    pub fn secret(name: &str, namespace: &str) -> Self {
        Self::Secret {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    /// A namespace.
    #[must_use]
    pub fn namespace(name: &str) -> Self {
        Self::Namespace {
            name: name.to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct List(Mutex<Vec<Created>>);

impl List {
    pub(super) fn push(&self, created: Created) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !list.contains(&created) {
            list.push(created);
        }
    }

    pub(super) fn take_reversed(&self) -> Vec<Created> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *list).into_iter().rev().collect()
    }
}

/// Removes it and waits until it is gone, so that what it needs can be removed next.
pub(crate) async fn remove(cx: &Context, created: &Created) -> Result<(), String> {
    let left = |what: &str, why: &str| format!("{what} may be left behind: {why}");
    let (what, request, gone) = match created {
        Created::Function { name, namespace } => {
            let mut body = DeleteFunctionRequest::new(name);
            body.namespace.clone_from(namespace);
            let target = match namespace.as_str() {
                "" => "/system/functions".to_owned(),
                _ => format!("/system/functions?namespace={namespace}"),
            };
            (
                format!("function {name}"),
                Request::delete(target).json(wire::to_vec(&body)),
                Some(Request::get(status_target(name, namespace))),
            )
        }
        Created::Secret { name, namespace } => {
            let secret = Secret::new(name, namespace);
            (
                format!("secret {name}"),
                Request::delete("/system/secrets").json(wire::to_vec(&secret)),
                None,
            )
        }
        Created::Namespace { name } => {
            let labels = [("openfaas".to_owned(), "1".to_owned())];
            let mut namespace = FunctionNamespace::new(name);
            namespace.labels = labels.into_iter().collect();
            (
                format!("namespace {name}"),
                Request::delete(format!("/system/namespace/{}", name.replace('/', "%2F")))
                    .json(wire::to_vec(&namespace)),
                None,
            )
        }
    };
    let answer = cx.send(request).await;
    let answer = answer.map_err(|stop| left(&what, &stop.to_string()))?;
    // A name that is refused as none was not taken for one before.
    if !answer.is_success() && !matches!(answer.status(), 400 | 404 | 422) {
        return Err(left(&what, &answer.shown()));
    }
    if let Some(status) = gone {
        let starts = &cx.shared.starts;
        let limit = match starts.for_ever() {
            true => Duration::ZERO,
            false => cx.timeouts().settle,
        };
        let polled = cx.poll("the deleted function to go", limit, status, |answer| {
            answer.status() != 200
        });
        let polled = polled.await;
        if let Ok(looked) = &polled {
            let count = if looked.is_ok() {
                &starts.gone
            } else {
                &starts.stayed
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        match polled {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(left(&what, "it still has a status")),
            Err(Stop::Provider { source, .. }) => return Err(left(&what, &source.to_string())),
            Err(stop) => return Err(left(&what, &stop.to_string())),
        }
    }
    Ok(())
}
