//! The routes of the provider API and the layers around them (`faas-provider: serve.go`).
//!
//! Nothing is open by omission: what is added to [`system`] or handed to
//! [`crate::ServerBuilder::merge`] stands behind the authenticator, unknown paths below `/system/`
//! too. What is open is listed in [`open`].

mod functions;
mod namespaces;
mod secrets;
mod system;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get, post};
use http::{Method, StatusCode};
use provider_auth::{AuthLayer, Authenticator};

use crate::app::App;
use crate::{call, guard, respond};

/// Invocations begin with this; they are matched ahead of the router.
pub(crate) const FUNCTION: &str = "/function/";
/// Queued invocations begin with this.
pub(crate) const ASYNC_FUNCTION: &str = "/async-function/";
/// Open, on every listener.
pub(crate) const HEALTHZ: &str = "/healthz";
/// Open.
pub(crate) const METRICS: &str = "/metrics";

const FUNCTIONS: &str = "/system/functions";
const FUNCTION_STATUS: &str = "/system/function/{name}";
const SCALE_FUNCTION: &str = "/system/scale-function/{name}";
const INFO: &str = "/system/info";
const SECRETS: &str = "/system/secrets";
const LOGS: &str = "/system/logs";
const NAMESPACES: &str = "/system/namespaces";
const NAMESPACE: &str = "/system/namespace/{name}";
/// Where clients create namespaces: the name is in the body.
const NAMESPACE_UNNAMED: &str = "/system/namespace/";
const TELEMETRY: &str = "/system/telemetry";
const UNKNOWN: &str = "/system/{*rest}";

/// Everything but invocations.
pub(crate) fn router(
    app: &Arc<App>,
    auth: Option<Arc<dyn Authenticator>>,
    merged: Router,
    merged_open: Router,
) -> Router {
    let protected = system(app).merge(merged.with_state(()));
    let protected = match auth {
        Some(auth) => protected.layer(AuthLayer::new(auth)),
        None => protected.layer(middleware::from_fn_with_state(
            Arc::clone(app),
            guard::only_local,
        )),
    };
    let measured = protected.layer(middleware::from_fn_with_state(Arc::clone(app), measure));
    Router::new()
        .fallback(not_found)
        .merge(open())
        .merge(merged_open.with_state(()))
        .merge(measured)
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            call::supervise,
        ))
        .with_state(Arc::clone(app))
}

fn open() -> Router<Arc<App>> {
    Router::new()
        .route(HEALTHZ, get(system::healthz))
        .route(METRICS, any(system::metrics))
}

fn system(app: &App) -> Router<Arc<App>> {
    let namespace = match app.backend.namespaces {
        Some(_) => get(namespaces::read)
            .post(namespaces::create)
            .put(namespaces::update)
            .delete(namespaces::remove),
        None => get(namespaces::not_implemented),
    };
    Router::new()
        .route(
            FUNCTIONS,
            get(functions::list)
                .post(functions::deploy)
                .put(functions::update)
                .delete(functions::remove),
        )
        .route(FUNCTION_STATUS, get(functions::status))
        .route(SCALE_FUNCTION, post(functions::scale))
        .route(INFO, get(system::info))
        .route(NAMESPACES, get(namespaces::list))
        .route(NAMESPACE, namespace.clone())
        .route(NAMESPACE_UNNAMED, namespace)
        .route(
            SECRETS,
            get(secrets::list)
                .post(secrets::create)
                .put(secrets::update)
                .delete(secrets::remove),
        )
        .route(LOGS, get(system::logs))
        .route(TELEMETRY, get(system::telemetry))
        .route(UNKNOWN, any(not_found))
        .route_layer(middleware::from_fn(no_head))
}

async fn not_found() -> Response {
    respond::text(StatusCode::NOT_FOUND, "404 page not found")
}

/// The SDK's router does not let HEAD stand for GET.
async fn no_head(request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD {
        return respond::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    next.run(request).await
}

/// Counts a call under the SDK's label for its route, as the SDK does: refused credentials are
/// counted, unknown paths and methods are not.
async fn measure(
    State(app): State<Arc<App>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let label = path.as_ref().and_then(|path| label_of(path.as_str()));
    let method = [Method::GET, Method::POST, Method::PUT, Method::DELETE]
        .into_iter()
        .find(|known| known == request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let code = response.status();
    if let (Some(label), Some(method)) = (label, method) {
        if code != StatusCode::METHOD_NOT_ALLOWED {
            app.metrics
                .system_call(code, &method, label, begun.elapsed());
        }
    }
    response
}

/// The `path` label of a route: never a part of the path that the client chose.
fn label_of(route: &str) -> Option<&'static str> {
    Some(match route {
        FUNCTIONS => FUNCTIONS,
        FUNCTION_STATUS => "/system/function",
        SCALE_FUNCTION => "/system/scale-function",
        INFO => INFO,
        SECRETS => SECRETS,
        LOGS => LOGS,
        NAMESPACES => NAMESPACES,
        NAMESPACE | NAMESPACE_UNNAMED => "/system/namespace",
        TELEMETRY => TELEMETRY,
        _ => return None,
    })
}
