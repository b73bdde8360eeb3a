//! `/system/functions`, `/system/function/NAME` and `/system/scale-function/NAME`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use provider_types::wire::{
    self, DeleteFunctionRequest, FunctionDeployment, FunctionStatus, ScaleServiceRequest,
};
use provider_types::{
    DeleteFunction, DeployFunction, ErrorKind, FunctionRef, FunctionSpec, GetFunction,
    ListFunctions, Namespace, ScaleFunction, UpdateFunction,
};

use crate::Role;
use crate::app::App;
use crate::extract::{Payload, SystemCall};
use crate::respond::{self, Failure};

/// What the certifier looks for among the labels of every function.
const FUNCTION_LABEL: &str = "faas_function";

pub(super) async fn list(
    State(app): State<Arc<App>>,
    call: SystemCall,
) -> Result<Response, Failure> {
    let namespace = call.namespace(&app, "")?;
    let request = ListFunctions::new(call.context, namespace.clone());
    // Each is written while it is at hand: a list of thousands is never in memory but as bytes.
    let functions = app.metrics.functions();
    let mut gone = functions.idle(&namespace);
    let mut list = vec![b'['];
    let mut write = |function: &mut FunctionStatus| {
        complete(&app, function, &namespace);
        if list.len() > 1 {
            list.push(b',');
        }
        wire::append(&mut list, function);
        // As it was, for the next one to find the same keys.
        function.labels.remove(FUNCTION_LABEL);
        gone.remove(function.name.as_str());
    };
    let provider = &app.backend.provider;
    match provider.each_function(request, &mut write).await {
        Ok(()) => {}
        // An unknown namespace is the caller's mistake, and 400 wherever functions are listed.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Failure::from(error).with_status(StatusCode::BAD_REQUEST));
        }
        Err(error) => return Err(error.into()),
    }
    list.push(b']');
    for name in gone {
        functions.forget(&FunctionRef::new(name, namespace.clone()));
    }
    Ok(respond::json(list))
}

pub(super) async fn status(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    call: SystemCall,
) -> Result<Response, Failure> {
    let namespace = call.namespace(&app, "")?;
    let function = call.function(&app, &name, namespace.clone())?;
    let usage = matches!(
        call.query("usage"),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True")
    );
    let request = GetFunction::new(call.context, function, usage);
    match app.backend.provider.function_status(request).await {
        Ok(mut function) => {
            complete(&app, &mut function, &namespace);
            Ok(respond::json(wire::to_vec(&function)))
        }
        // Clients look at the status only, and the SDK's providers send no body here.
        Err(error) if error.is_not_found() => Ok(respond::empty(StatusCode::NOT_FOUND)),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn deploy(
    State(app): State<Arc<App>>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let spec = spec(&app, &call, &body)?;
    let request = DeployFunction::new(call.context, spec);
    let outcome = app.backend.provider.deploy_function(request).await?;
    Ok(respond::outcome(StatusCode::ACCEPTED, &outcome))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let spec = spec(&app, &call, &body)?;
    let request = UpdateFunction::new(call.context, spec);
    let outcome = app.backend.provider.update_function(request).await?;
    Ok(respond::outcome(StatusCode::OK, &outcome))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let given: DeleteFunctionRequest = wire::from_slice(&body)?;
    let namespace = call.namespace(&app, &given.namespace)?;
    let function = call.function(&app, &given.function_name, namespace)?;
    let request = DeleteFunction::new(call.context, function.clone());
    let outcome = app.backend.provider.delete_function(request).await?;
    app.metrics.functions().forget(&function);
    let status = respond::status_of_progress(outcome.progress);
    Ok(respond::outcome(status, &outcome))
}

/// The path names the function; the name in the body is not looked at, as gateways leave it out
/// of step (`faas-netes` reads the path, too).
pub(super) async fn scale(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    call: SystemCall,
    Payload(body): Payload,
) -> Result<Response, Failure> {
    let given: ScaleServiceRequest = wire::from_slice(&body)?;
    let namespace = call.namespace(&app, &given.namespace)?;
    let function = call.function(&app, &name, namespace)?;
    let request = ScaleFunction::new(call.context, function, given.replicas);
    let outcome = app.backend.provider.scale_function(request).await?;
    Ok(respond::outcome(StatusCode::ACCEPTED, &outcome))
}

fn spec(app: &App, call: &SystemCall, body: &[u8]) -> Result<FunctionSpec, Failure> {
    let mut deployment: FunctionDeployment = wire::from_slice(body)?;
    let namespace = call.namespace(app, &deployment.namespace)?;
    deployment.namespace.clear();
    let spec = deployment.into_spec(&namespace, app.config.name_rule)?;
    call.is_about(&spec.function);
    Ok(spec)
}

/// Fills in what every client counts on and no back-end should have to think of.
fn complete(app: &App, status: &mut FunctionStatus, namespace: &Namespace) {
    if status.namespace.is_empty() {
        namespace.as_str().clone_into(&mut status.namespace);
    }
    let name = status.name.clone();
    status.labels.insert(FUNCTION_LABEL.to_owned(), name);
    if app.config.role == Role::Standalone {
        let functions = app.metrics.functions();
        status.invocation_count = functions.invocations(&status.namespace, &status.name);
    }
}
