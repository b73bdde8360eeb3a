//! Steps that cases of several areas take.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use provider_types::wire::{self, FunctionDeployment, ScaleServiceRequest};
use serde_json::Value;

use crate::context::{Context, Created, Function, Stop};
use crate::wire::{Answer, Request, WireError};

/// Waits for all of them, which run at the same time; their outcomes are in the order given.
pub(super) async fn together<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = all.into_iter().map(Box::pin).collect();
    let mut outcomes: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|task| {
        for (future, outcome) in running.iter_mut().zip(&mut outcomes) {
            if outcome.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(task)
            {
                *outcome = Some(value);
            }
        }
        if outcomes.iter().all(Option::is_some) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    outcomes.into_iter().flatten().collect()
}

/// What came of a call, in words.
pub(super) fn shown(answer: &Result<Answer, WireError>) -> String {
    match answer {
        Ok(answer) => answer.shown(),
        Err(error) => error.to_string(),
    }
}

/// The deployment of the test function as JSON, to which members can be added.
pub(super) fn document(deployment: &FunctionDeployment) -> Result<Value, Stop> {
    serde_json::from_slice(&wire::to_vec(deployment))
        .map_err(|error| Stop::Kit(format!("the deployment is no JSON: {error}")))
}

/// The same document with one more member, or another value of one.
pub(super) fn with(mut document: Value, member: &str, value: Value) -> Value {
    if let Some(object) = document.as_object_mut() {
        object.insert(member.to_owned(), value);
    }
    document
}

/// Sends JSON and sees to the removal of the function of this name, should one come of it.
pub(super) async fn deploy_as(cx: &Context, name: &str, request: Request) -> Result<Answer, Stop> {
    cx.will_create(Created::function(name, ""));
    cx.send(request).await
}

/// The functions of the default namespace, as JSON.
pub(super) async fn list(cx: &Context) -> Result<Vec<Value>, Stop> {
    let answer = cx.get("/system/functions").await?;
    let list = answer.json().ok();
    let entries = match list {
        Some(Value::Array(entries)) => entries,
        Some(Value::Null) => Vec::new(),
        _ => {
            let text = format!("the list cannot be read: {}", answer.shown());
            return Err(Stop::Setup(text));
        }
    };
    Ok(entries)
}

/// How often a function is in a list.
pub(super) fn times_listed(list: &[Value], name: &str) -> usize {
    let same = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(name);
    list.iter().filter(same).count()
}

/// The request that scales a function.
pub(super) fn scaling(function: &Function, replicas: u64) -> Request {
    let mut body = ScaleServiceRequest::new(&function.name, replicas);
    body.namespace.clone_from(&function.namespace);
    Request::post(format!("/system/scale-function/{}", function.name)).json(wire::to_vec(&body))
}

/// The number of replicas that are wanted, and of those that are available, in a status.
pub(super) fn replicas(answer: &Answer) -> Option<(u64, u64)> {
    let status = crate::context::status(answer)?;
    Some((status.replicas, status.available_replicas))
}

/// What the function answers to `/do/ACTION`, as JSON.
pub(super) async fn asked(cx: &Context, function: &Function, action: &str) -> Result<Value, Stop> {
    let answer = cx.get(&function.path(&format!("/do/{action}"))).await?;
    let value = answer.json().ok().filter(|_| answer.is_success());
    value.ok_or_else(|| {
        let text = format!(
            "the test function was asked for {action} and the answer was {}",
            answer.shown()
        );
        Stop::Setup(text)
    })
}

/// The environment that the function sees.
pub(super) async fn environment(
    cx: &Context,
    function: &Function,
) -> Result<BTreeMap<String, String>, Stop> {
    let told = asked(cx, function, "environment").await?;
    Ok(told.get("variables").map(texts).unwrap_or_default())
}

/// The texts of an object; other values are left out.
pub(super) fn texts(object: &Value) -> BTreeMap<String, String> {
    let entries = object.as_object().into_iter().flatten();
    entries
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Which replica answers.
pub(super) async fn replica(cx: &Context, function: &Function) -> Result<String, Stop> {
    let told = asked(cx, function, "identity").await?;
    let replica = told.get("replica").and_then(Value::as_str);
    Ok(replica.unwrap_or_default().to_owned())
}

/// Waits until so many calls with this id have reached replicas of the function.
pub(super) async fn arrived(
    cx: &Context,
    function: &Function,
    id: &str,
    count: usize,
) -> Result<(), Stop> {
    let mut seen = BTreeMap::new();
    let request = Request::get(function.path(&format!("/do/calls?id={id}")));
    let limit = cx.timeouts().settle;
    let all_here = |answer: &Answer| {
        if let Ok(told) = answer.json() {
            let calls = told.get("calls").and_then(Value::as_array).map(Vec::len);
            let replica = told.get("replica").and_then(Value::as_str);
            seen.insert(
                replica.unwrap_or_default().to_owned(),
                calls.unwrap_or_default(),
            );
        }
        seen.values().sum::<usize>() >= count
    };
    let polled = cx
        .poll("calls to reach the function", limit, request, all_here)
        .await?;
    match polled {
        Ok(_) => Ok(()),
        Err(last) => Err(Stop::Setup(format!(
            "{count} calls were sent and have not reached the function: {}",
            last.shown()
        ))),
    }
}

/// The labels, or another object of texts, that the status has.
pub(super) fn member_texts(status: &Value, member: &str) -> BTreeMap<String, String> {
    status.get(member).map(texts).unwrap_or_default()
}

/// What of these is missing in those, or is another text there; empty where nothing is.
pub(super) fn missing(
    wanted: &BTreeMap<String, String>,
    have: &BTreeMap<String, String>,
) -> Vec<String> {
    wanted
        .iter()
        .filter(|(name, value)| have.get(*name) != Some(*value))
        .map(|(name, value)| {
            let short = |text: &str| text.chars().take(60).collect::<String>();
            match have.get(name) {
                None => format!("{name:?} is missing"),
                Some(other) => format!("{name:?} is {:?}, not {:?}", short(other), short(value)),
            }
        })
        .collect()
}

/// The status of a function as JSON.
pub(super) async fn status_document(cx: &Context, function: &Function) -> Result<Value, Stop> {
    let answer = cx.get(&function.status_path()).await?;
    let value = answer.json().ok().filter(|_| answer.status() == 200);
    value.ok_or_else(|| Stop::Setup(format!("there is no status: {}", answer.shown())))
}
