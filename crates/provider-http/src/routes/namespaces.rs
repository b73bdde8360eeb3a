//! `/system/namespaces` and `/system/namespace/NAME`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use axum::response::Response;
use http::StatusCode;
use provider_types::wire::{self, FunctionNamespace};
use provider_types::{
    CreateNamespace, DeleteNamespace, GetNamespace, ListNamespaces, Namespace, NamespaceStore,
    ProviderError, UpdateNamespace,
};

use crate::app::App;
use crate::extract::{Payload, SystemCall};
use crate::respond::{self, Failure};

/// What marks a namespace as one for functions.
const MARK: &str = "openfaas";

/// The default namespace first, then the others in order, each once.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    call: SystemCall,
) -> Result<Response, Failure> {
    let names = names(&app, call.context).await?;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Ok(respond::json(wire::to_vec(&names)))
}

/// All namespaces, as [`list`] shows them.
pub(crate) async fn names(
    app: &App,
    context: provider_types::CallContext,
) -> Result<Vec<Namespace>, ProviderError> {
    let default = &app.config.default_namespace;
    let mut names = match &app.backend.namespaces {
        Some(store) => store.list_namespaces(ListNamespaces::new(context)).await?,
        None => Vec::new(),
    };
    names.retain(|name| name != default);
    names.sort();
    names.dedup();
    names.insert(0, default.clone());
    Ok(names)
}

/// What the SDK answers where a provider has no handler for namespaces (`serve.go`).
pub(super) async fn not_implemented() -> Response {
    respond::text(
        StatusCode::NOT_IMPLEMENTED,
        "Feature not implemented in this version of OpenFaaS",
    )
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    path: RawPathParams,
    call: SystemCall,
) -> Result<Response, Failure> {
    let namespace = in_path(&path)?;
    let request = GetNamespace::new(call.context, namespace);
    let found = store(&app)?.get_namespace(request).await?;
    Ok(respond::json(wire::to_line(&found)))
}

/// The name is in the body; clients leave it out of the path.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let given = parse(&body)?;
    let namespace = in_body(&given)?;
    call.is_about(&format!("namespace {namespace}"));
    marked(&given)?;
    if namespace == app.config.default_namespace {
        let message = format!("namespace {namespace} already exists");
        return Err(ProviderError::already_exists(message).into());
    }
    let request = CreateNamespace::new(call.context, namespace, given.labels, given.annotations);
    let outcome = store(&app)?.create_namespace(request).await?;
    Ok(respond::outcome(StatusCode::CREATED, &outcome))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    path: RawPathParams,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let given = parse(&body)?;
    let namespace = in_body(&given)?;
    same(&namespace, &in_path(&path)?)?;
    call.is_about(&format!("namespace {namespace}"));
    marked(&given)?;
    let request = UpdateNamespace::new(call.context, namespace, given.labels, given.annotations);
    let outcome = store(&app)?.update_namespace(request).await?;
    Ok(respond::outcome(StatusCode::ACCEPTED, &outcome))
}

/// The body may be left out; if it is there it names the same namespace.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    path: RawPathParams,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let namespace = in_path(&path)?;
    if !body.trim_ascii().is_empty() {
        let given = parse(&body)?;
        if !given.name.is_empty() {
            same(&in_body(&given)?, &namespace)?;
        }
    }
    call.is_about(&format!("namespace {namespace}"));
    if namespace == app.config.default_namespace {
        let message = format!("namespace {namespace} is the default one and cannot be deleted");
        return Err(Failure::new(StatusCode::CONFLICT, message));
    }
    let request = DeleteNamespace::new(call.context, namespace);
    let outcome = store(&app)?.delete_namespace(request).await?;
    Ok(respond::outcome(StatusCode::ACCEPTED, &outcome))
}

fn store(app: &App) -> Result<&dyn NamespaceStore, Failure> {
    app.backend
        .namespaces
        .as_deref()
        .ok_or_else(|| ProviderError::unsupported("this provider has one namespace").into())
}

fn in_path(path: &RawPathParams) -> Result<Namespace, Failure> {
    let name = path.iter().next().map_or("", |(_, name)| name);
    if name.is_empty() {
        return Err(Failure::bad_request("namespace not specified in URL"));
    }
    Ok(Namespace::new(name)?)
}

fn in_body(given: &FunctionNamespace) -> Result<Namespace, Failure> {
    if given.name.is_empty() {
        return Err(Failure::bad_request(
            "namespace not specified in request body",
        ));
    }
    Ok(Namespace::new(&given.name)?)
}

fn parse(body: &[u8]) -> Result<FunctionNamespace, Failure> {
    wire::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("error parsing request body: {error}")))
}

fn same(in_body: &Namespace, in_path: &Namespace) -> Result<(), Failure> {
    if in_body == in_path {
        Ok(())
    } else {
        Err(Failure::bad_request(
            "namespace in request body does not match namespace in URL",
        ))
    }
}

/// Clients send the mark as a label, an annotation, or both.
fn marked(given: &FunctionNamespace) -> Result<(), Failure> {
    let has = |map: &BTreeMap<String, String>| {
        map.get(MARK)
            .is_some_and(|value| value == "1" || value == "true")
    };
    if has(&given.labels) || has(&given.annotations) {
        Ok(())
    } else {
        Err(Failure::bad_request(
            "request does not have openfaas=1 label or annotation",
        ))
    }
}
