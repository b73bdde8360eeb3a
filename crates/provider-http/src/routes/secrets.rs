//! `/system/secrets`. Values go in and never come out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use provider_types::wire::{self, Secret};
use provider_types::{
    CreateSecret, DeleteSecret, ListSecrets, Namespace, ProviderError, SecretName, SecretStore,
    UpdateSecret,
};

use crate::app::App;
use crate::extract::{Payload, SystemCall};
use crate::respond::{self, Failure};

pub(super) async fn list(
    State(app): State<Arc<App>>,
    call: SystemCall,
) -> Result<Response, Failure> {
    let store = store(&app)?;
    let namespace = call.namespace(&app, "")?;
    let request = ListSecrets::new(call.context, namespace.clone());
    let mut names = store.list_secrets(request).await?;
    names.sort();
    names.dedup();
    let secrets: Vec<Secret> = names
        .iter()
        .map(|name| {
            let mut secret = Secret::default();
            name.as_str().clone_into(&mut secret.name);
            namespace.as_str().clone_into(&mut secret.namespace);
            secret
        })
        .collect();
    Ok(respond::json(wire::to_vec(&secrets)))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let store = store(&app)?;
    let (namespace, name, value) = secret(&app, &call, &body)?;
    let request = CreateSecret::new(call.context, namespace, name, value);
    let outcome = store.create_secret(request).await?;
    Ok(respond::outcome(StatusCode::CREATED, &outcome))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let store = store(&app)?;
    let (namespace, name, value) = secret(&app, &call, &body)?;
    let request = UpdateSecret::new(call.context, namespace, name, value);
    let outcome = store.update_secret(request).await?;
    Ok(respond::outcome(StatusCode::OK, &outcome))
}

/// Never 204: clients take it for a failure.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let store = store(&app)?;
    let (namespace, name, _) = secret(&app, &call, &body)?;
    let request = DeleteSecret::new(call.context, namespace, name);
    let outcome = store.delete_secret(request).await?;
    Ok(respond::outcome(StatusCode::OK, &outcome))
}

fn store(app: &App) -> Result<&dyn SecretStore, Failure> {
    app.backend
        .secrets
        .as_deref()
        .ok_or_else(|| ProviderError::unsupported("this provider does not keep secrets").into())
}

/// Clients that upload a file send its bytes as `rawValue` and its trimmed text as `value`.
fn secret(
    app: &App,
    call: &SystemCall,
    body: &[u8],
) -> Result<(Namespace, SecretName, Vec<u8>), Failure> {
    let given: Secret = wire::from_slice(body)?;
    let namespace = call.namespace(app, &given.namespace)?;
    let name = SecretName::new(&given.name)?;
    call.is_about(&format!("secret {name}.{namespace}"));
    let value = if given.raw_value.is_empty() {
        given.value.into_bytes()
    } else {
        given.raw_value
    };
    Ok((namespace, name, value))
}
