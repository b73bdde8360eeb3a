//! Namespaces, and every place where one can stand.

pub(super) mod default;
pub(super) mod life;
pub(super) mod places;

use provider_types::wire::FunctionDeployment;
use serde_json::{Value, json};

use crate::context::{Context, Created, Function, Stop};
use crate::wire::{Answer, Request};

/// Where namespaces are made.
const PLACE: &str = "/system/namespace/";

/// A namespace as `go-sdk` sends it: with the mark that providers ask for, as label and annotation.
fn document(name: &str) -> Value {
    json!({"name": name, "labels": {"openfaas": "1"}, "annotations": {"openfaas": "1"}})
}

/// Creates a namespace, whatever the answer.
async fn create(cx: &Context, name: &str, document: &Value) -> Result<Answer, Stop> {
    cx.will_create(Created::Namespace {
        name: name.to_owned(),
    });
    cx.send(Request::post(PLACE).json(document.to_string()))
        .await
}

/// A namespace of the case's own.
async fn another(cx: &Context) -> Result<String, Stop> {
    let name = cx.name();
    let answer = create(cx, &name, &document(&name)).await?;
    if answer.is_success() {
        return Ok(name);
    }
    let text = format!("no namespace: {}", answer.shown());
    Err(Stop::Setup(text))
}

/// The test function in a namespace, with a variable `WHERE`.
fn placed(cx: &Context, name: &str, namespace: &str, place: &str) -> FunctionDeployment {
    let mut deployment = cx.deployment(name);
    namespace.clone_into(&mut deployment.namespace);
    let variable = ("WHERE".to_owned(), place.to_owned());
    deployment.env_vars.extend([variable]);
    deployment
}

/// Deploys it so, whatever the answer.
async fn put(cx: &Context, name: &str, namespace: &str, place: &str) -> Result<Answer, Stop> {
    cx.deploy(&placed(cx, name, namespace, place)).await
}

/// The test function in a namespace, available there.
async fn function_in(cx: &Context, namespace: &str) -> Result<Function, Stop> {
    let name = cx.name();
    let answer = put(cx, &name, namespace, namespace).await?;
    if !answer.is_success() {
        let text = format!("no function in {namespace}: {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    cx.available(&name, namespace).await
}

fn names(answer: &Answer) -> Option<Vec<String>> {
    let entries = answer.json().ok()?;
    let name = |entry: &Value| Some(entry.get("name")?.as_str()?.to_owned());
    entries.as_array()?.iter().map(name).collect()
}
