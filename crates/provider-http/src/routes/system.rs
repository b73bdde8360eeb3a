//! `/system/info`, `/system/logs`, `/system/telemetry`, `/healthz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use provider_logs::{LogQuery, log_response};
use provider_types::wire::{self, GatewayInfo};
use provider_types::{CallContext, ListFunctions, ProviderError};

use super::namespaces;
use crate::Role;
use crate::app::App;
use crate::extract::SystemCall;
use crate::respond::{self, Failure};

/// How long a scrape waits for the back-end to count replicas.
const COUNT_PATIENCE: Duration = Duration::from_secs(2);

/// A provider's own shape, or in the standalone role the one that clients expect of a gateway.
pub(super) async fn info(
    State(app): State<Arc<App>>,
    _call: SystemCall,
) -> Result<Response, Failure> {
    let info = app.backend.provider.info().await?;
    if app.config.role == Role::Provider {
        return Ok(respond::json(wire::to_vec(&info)));
    }
    let version = info.version.clone().unwrap_or_default();
    let gateway = GatewayInfo::new(info, version, std::env::consts::ARCH);
    Ok(respond::json(wire::to_vec(&gateway)))
}

/// Lines as ndjson; a stream that follows ends cleanly when the server is told to stop.
pub(super) async fn logs(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    call: SystemCall,
) -> Result<Response, Failure> {
    let Some(source) = &app.backend.logs else {
        return Err(ProviderError::unsupported("this provider does not keep logs").into());
    };
    let query = LogQuery::parse(query.as_deref().unwrap_or_default())
        .map_err(|error| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let request = query.into_request(
        call.context,
        &app.config.default_namespace,
        app.config.name_rule,
    )?;
    let function = request.function.clone();
    let lines = source.query(request).await?;
    let until_stop = Box::pin(lines.take_until(app.draining.begun_owned()));
    Ok(log_response(until_stop, &function).map(Body::new))
}

pub(super) async fn telemetry(
    State(app): State<Arc<App>>,
    call: SystemCall,
) -> Result<Response, Failure> {
    let Some(telemetry) = &app.backend.telemetry else {
        return Ok(super::not_found().await);
    };
    Ok(respond::json(telemetry.telemetry(call.context).await?))
}

/// Ready unless the server is on its way out.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Response {
    respond::empty(if app.draining.has_begun() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    })
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let replicas = async {
        let counted = tokio::time::timeout(COUNT_PATIENCE, count_replicas(&app)).await;
        match counted {
            Ok(Ok(functions)) => Some(functions),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the replicas could not be counted for the metrics");
                None
            }
            Err(_) => {
                tracing::warn!("counting the replicas for the metrics takes too long");
                None
            }
        }
    };
    let usage = async {
        let read = tokio::time::timeout(COUNT_PATIENCE, app.backend.provider.usage()).await;
        match read {
            Ok(Ok(readings)) => readings,
            Ok(Err(error)) => {
                tracing::warn!(%error, "what functions use could not be read for the metrics");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("reading what functions use for the metrics takes too long");
                Vec::new()
            }
        }
    };
    let ((), usage) = tokio::join!(app.metrics.refresh_services(replicas), usage);
    let logs = app.backend.logs.as_ref().and_then(|logs| logs.reading());
    let mut response = Response::new(Body::from(app.metrics.text(&usage, logs.as_ref())));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(prometheus::TEXT_FORMAT),
    );
    response
}

async fn count_replicas(app: &App) -> Result<Vec<(String, u64)>, ProviderError> {
    let context = CallContext::new("metrics");
    let mut counted = Vec::new();
    for namespace in namespaces::names(app, context.clone()).await? {
        let request = ListFunctions::new(context.clone(), namespace.clone());
        let functions = app.backend.provider.list_functions(request).await?;
        counted.extend(functions.into_iter().map(|function| {
            let name = format!("{}.{namespace}", function.name);
            (name, function.replicas)
        }));
    }
    Ok(counted)
}
