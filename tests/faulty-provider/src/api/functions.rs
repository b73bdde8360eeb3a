//! Deploying, listing, updating, deleting and scaling functions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Request, namespace};
use crate::answer::Answer;
use crate::defect::Defect;
use crate::deployment::{self, Deployment, MOST_REPLICAS};
use crate::object::Object;
use crate::state::{DEFAULT_NAMESPACE, Function, Inner, Key, State};

type Answered = Result<Answer, Answer>;

const DEPLOYMENT: &[&str] = &[
    "service",
    "image",
    "namespace",
    "envprocess",
    "envvars",
    "constraints",
    "secrets",
    "labels",
    "annotations",
    "limits",
    "requests",
    "readonlyrootfilesystem",
];

fn absent(key: &Key) -> Answer {
    Answer::text(404, format!("there is no function {} in {}", key.1, key.0))
}

pub(super) fn list(inner: &Arc<Inner>, request: &Request) -> Answered {
    let state = inner.state();
    let namespace = namespace(inner, &state, None, request.query("namespace"))?;
    let has = |defect| inner.has(defect);
    let mut listed = Vec::new();
    let ghosts = state.ghosts.iter().filter(|_| has(Defect::DeletedListed));
    let nowhere = has(Defect::EmptyNamespaceIsAnother) && request.query("namespace") == Some("");
    for (key, function) in state.functions.iter().chain(ghosts) {
        let hidden =
            nowhere || has(Defect::NotListed) || has(Defect::ZeroNotListed) && function.wanted == 0;
        if hidden || key.0 != namespace && !has(Defect::ListOfAll) {
            continue;
        }
        let times = 1 + state.raced.iter().filter(|raced| *raced == key).count();
        for _ in 0..times {
            listed.push(deployment::status(inner, function, true));
        }
    }
    if has(Defect::ListIsObject) {
        return Ok(Answer::json(200, &json!({ "functions": listed })));
    }
    Ok(Answer::json(200, &Value::Array(listed)))
}

pub(super) fn status(inner: &Arc<Inner>, request: &Request, name: &str) -> Answered {
    let state = inner.state();
    let has = |defect| inner.has(defect);
    let query = request
        .query("namespace")
        .filter(|_| !has(Defect::StatusNamespaceIgnored));
    let key = (namespace(inner, &state, None, query)?, name.to_owned());
    if has(Defect::UsageFalseIs404) && request.query("usage") == Some("false") {
        return Err(absent(&key));
    }
    let ghost = state
        .ghosts
        .get(&key)
        .filter(|_| has(Defect::DeletedHasStatus));
    let found = state.functions.get(&key).or(ghost);
    let found = found.filter(|one| !(has(Defect::ZeroIs404) && one.wanted == 0));
    let Some(function) = found else {
        if has(Defect::NoStatusIs200) {
            let mut none = Function::new(Deployment::default());
            none.wanted = 0;
            none.deployment.name = name.to_owned();
            return Ok(Answer::json(200, &deployment::status(inner, &none, false)));
        }
        return Err(absent(&key));
    };
    let status = if has(Defect::StatusIs203) { 203 } else { 200 };
    Ok(Answer::json(
        status,
        &deployment::status(inner, function, false),
    ))
}

pub(super) fn deploy(inner: &Arc<Inner>, request: &Request) -> Answered {
    let has = |defect| inner.has(defect);
    let body = request.object(inner, DEPLOYMENT)?;
    if has(Defect::NamelessAccepted) && body.text("service")?.is_empty() {
        return Ok(Answer::empty(202));
    }
    let mut state = inner.state();
    let deployment = read(inner, &state, request, &body)?;
    let key = (deployment.namespace.clone(), deployment.name.clone());
    if has(Defect::NameStaysTaken) && state.ghosts.contains_key(&key) {
        return Err(Answer::text(409, format!("{} is being deleted", key.1)));
    }
    if state.functions.contains_key(&key) {
        let new = state
            .functions
            .get(&key)
            .is_some_and(|one| one.available() == 0);
        if new && has(Defect::RacedTwice) {
            state.raced.push(key);
            return Ok(Answer::empty(202));
        }
        if has(Defect::ExistingOverwritten) {
            replace(inner, &mut state, &key, deployment);
            return Ok(Answer::empty(202));
        }
        return Err(Answer::text(409, format!("the function {} exists", key.1)));
    }
    add(inner, &mut state, key, deployment);
    Ok(Answer::empty(if has(Defect::DeployIs201) {
        201
    } else {
        202
    }))
}

fn add(inner: &Arc<Inner>, state: &mut State, key: Key, deployment: Deployment) {
    state
        .functions
        .insert(key.clone(), Function::new(deployment));
    inner.reconcile(state, &key);
}

/// Checks all that a deployment needs.
fn read(
    inner: &Inner,
    state: &State,
    request: &Request,
    body: &Object,
) -> Result<Deployment, Answer> {
    let named = body.text("namespace")?;
    let ignored = match request.method.as_str() {
        "PUT" => inner.has(Defect::UpdateNamespaceIgnored),
        _ => inner.has(Defect::DeployNamespaceIgnored),
    };
    let named = Some(named.as_str()).filter(|_| !ignored);
    let namespace = namespace(inner, state, named, request.query("namespace"))?;
    let deployment = Deployment::read(inner, body, namespace)?;
    for name in &deployment.secrets {
        let key = (deployment.namespace.clone(), name.clone());
        if !state.secrets.contains_key(&key) {
            return Err(Answer::text(400, format!("there is no secret {name}")));
        }
    }
    Ok(deployment)
}

pub(super) fn update(inner: &Arc<Inner>, request: &Request) -> Answered {
    let has = |defect| inner.has(defect);
    let body = request.object(inner, DEPLOYMENT)?;
    let mut state = inner.state();
    let deployment = match read(inner, &state, request, &body) {
        Ok(deployment) => deployment,
        Err(refusal) => return refused(inner, &mut state, &body, refusal),
    };
    let key = (deployment.namespace.clone(), deployment.name.clone());
    let Some(function) = state.functions.get(&key) else {
        if has(Defect::UpdateOfNothingIs400) {
            return Err(Answer::text(400, "there is no such function"));
        }
        if has(Defect::UpdateCreates) {
            add(inner, &mut state, key, deployment);
            return Ok(Answer::empty(200));
        }
        return Err(absent(&key));
    };
    if has(Defect::SameUpdateIs409) && function.deployment == deployment {
        return Err(Answer::text(409, "nothing would change"));
    }
    if has(Defect::ZeroUpdateIs409) && function.wanted == 0 {
        return Err(Answer::text(409, "the function sleeps"));
    }
    if has(Defect::ZeroUpdateLost) && function.wanted == 0 {
        return Ok(Answer::empty(202));
    }
    if has(Defect::NamespacesShared) {
        let others = state.functions.keys().filter(|other| other.1 == key.1);
        for other in others.cloned().collect::<Vec<_>>() {
            let mut deployment = deployment.clone();
            deployment.namespace.clone_from(&other.0);
            replace(inner, &mut state, &other, deployment);
        }
    }
    replace(inner, &mut state, &key, deployment);
    Ok(Answer::empty(if has(Defect::UpdateIs201) {
        201
    } else {
        200
    }))
}

/// What becomes of an update that is refused: nothing, but for defects.
fn refused(inner: &Arc<Inner>, state: &mut State, body: &Object, refusal: Answer) -> Answered {
    let has = |defect| inner.has(defect);
    let key = (DEFAULT_NAMESPACE.to_owned(), body.text("service")?);
    if let Some(before) = state.functions.get(&key).map(|one| one.deployment.clone()) {
        if has(Defect::BadUpdateRuns) {
            let mut changed = before;
            changed.env_vars = body.map("envVars").unwrap_or_default();
            changed.labels = body.map("labels").unwrap_or_default();
            changed
                .env_vars
                .insert("refused".to_owned(), "yes".to_owned());
            replace(inner, state, &key, changed);
        }
        if has(Defect::BadUpdateRemoves) {
            state.functions.remove(&key);
        }
        if has(Defect::BadUpdateIs200) {
            return Ok(Answer::empty(200));
        }
    }
    Err(refusal)
}

/// Puts another deployment in the place of a function's: new replicas start, and those of before
/// serve until one of them is ready.
fn replace(inner: &Arc<Inner>, state: &mut State, key: &Key, next: Deployment) {
    let has = |defect| inner.has(defect);
    let Some(function) = state.functions.get_mut(key) else {
        return;
    };
    let least = next.labels.contains_key("com.openfaas.scale.min");
    if least {
        function.wanted = next.initial_replicas();
    }
    let before = std::mem::replace(&mut function.deployment, next.clone());
    if has(Defect::UpdateMerges) {
        function.deployment = before.merged(next.clone());
    }
    if has(Defect::UpdateKeepsOld) {
        return;
    }
    function.runs = next;
    function.generation += 1;
    function.failures = 0;
    inner.reconcile(state, key);
}

pub(super) fn delete(inner: &Arc<Inner>, request: &Request) -> Answered {
    let has = |defect| inner.has(defect);
    let body = request.object(inner, &["functionname", "namespace"])?;
    let name = body.text("functionName")?;
    let mut state = inner.state();
    let named = body.text("namespace")?;
    let named = Some(named.as_str()).filter(|_| !has(Defect::DeleteBodyNamespaceIgnored));
    let query = request
        .query("namespace")
        .filter(|_| !has(Defect::DeleteQueryNamespaceIgnored));
    if has(Defect::DefaultOfDeletionRefused) && query == Some(DEFAULT_NAMESPACE) {
        return Err(Answer::text(400, "that is no namespace"));
    }
    let namespace = namespace(inner, &state, named, query)?;
    if name.is_empty() {
        return Err(Answer::text(400, "functionName is empty"));
    }
    let key = (namespace, name);
    let Some(function) = state.functions.remove(&key) else {
        if has(Defect::DeleteOfNothingIs200) {
            return Ok(Answer::empty(200));
        }
        return Err(absent(&key));
    };
    if has(Defect::DeletedTogether) {
        state.functions.retain(|other, _| other.1 != key.1);
    }
    let held = [
        Defect::DeletedListed,
        Defect::DeletedHasStatus,
        Defect::DeletedAnswers,
        Defect::NameStaysTaken,
    ];
    if held.into_iter().any(has) {
        state.ghosts.insert(key, function);
    }
    Ok(Answer::empty(if has(Defect::DeleteIs204) {
        204
    } else {
        202
    }))
}

pub(super) fn scale(inner: &Arc<Inner>, request: &Request, name: &str) -> Answered {
    let has = |defect| inner.has(defect);
    let body = request.object(inner, &["servicename", "replicas", "namespace"])?;
    let replicas = body.number("replicas")?;
    let mut state = inner.state();
    let named = body.text("namespace")?;
    let query = request.query("namespace");
    if has(Defect::ScaleNeedsNamespace) && named.is_empty() && query.is_none() {
        return Err(Answer::text(400, "namespace is needed"));
    }
    let elsewhere = |named: &str| !named.is_empty() && named != DEFAULT_NAMESPACE;
    if has(Defect::ScaleBodyNamespaceLost) && elsewhere(&named)
        || has(Defect::ScaleQueryNamespaceLost) && query.is_some_and(elsewhere)
    {
        return Ok(Answer::empty(202));
    }
    let named = Some(named.as_str()).filter(|_| !has(Defect::ScaleBodyNamespaceIgnored));
    let query = query.filter(|_| !has(Defect::ScaleQueryNamespaceIgnored));
    let namespace = namespace(inner, &state, named, query)?;
    let by_body = has(Defect::ScaleByBody);
    let name = if by_body {
        body.text("serviceName")?
    } else {
        name.to_owned()
    };
    let key = (namespace, name);
    let Some(function) = state.functions.get_mut(&key) else {
        if has(Defect::ScaleOfNothingIs500) {
            return Err(Answer::text(500, "the function cannot be found"));
        }
        return Err(absent(&key));
    };
    if replicas > MOST_REPLICAS {
        let text = format!("replicas: a function has at most {MOST_REPLICAS}");
        return Err(Answer::text(400, text));
    }
    if replicas == 0 && has(Defect::ZeroRefused) {
        return Err(Answer::text(400, "replicas must be 1 or more"));
    }
    function.wanted = replicas;
    function.was_at_zero |= replicas == 0;
    if has(Defect::ScaledTogether) {
        let others = state.functions.iter_mut();
        for (_, other) in others.filter(|(other, _)| other.1 == key.1) {
            other.wanted = replicas;
        }
    }
    inner.reconcile(&mut state, &key);
    Ok(Answer::empty(if has(Defect::ScaleIs201) {
        201
    } else {
        202
    }))
}
