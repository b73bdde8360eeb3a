//! Namespaces.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Request;
use crate::answer::Answer;
use crate::defect::Defect;
use crate::deployment::is_namespace_name;
use crate::object::Object;
use crate::state::{DEFAULT_NAMESPACE, Inner, Meta};

type Answered = Result<Answer, Answer>;

fn absent(name: &str) -> Answer {
    Answer::text(404, format!("there is no namespace {name}"))
}

pub(super) fn list(inner: &Arc<Inner>) -> Answer {
    let has = |defect| inner.has(defect);
    if has(Defect::NamespacesIs500) {
        return Answer::text(500, "the namespaces cannot be listed");
    }
    let state = inner.state();
    let mut names = vec![DEFAULT_NAMESPACE];
    names.extend(
        state
            .namespaces
            .keys()
            .filter(|_| !has(Defect::NamespaceNotListed))
            .map(String::as_str),
    );
    if has(Defect::DeletedNamespaceListed) {
        names.extend(state.deleted_namespaces.iter().map(String::as_str));
    }
    if has(Defect::DefaultTwice) {
        names.push(DEFAULT_NAMESPACE);
    }
    if has(Defect::NamespacesAreObjects) {
        let objects = names.iter().map(|name| json!({ "name": name })).collect();
        return Answer::json(200, &Value::Array(objects));
    }
    Answer::json(200, &json!(names))
}

pub(super) fn get(inner: &Arc<Inner>, name: &str) -> Answered {
    let has = |defect| inner.has(defect);
    let state = inner.state();
    let found = state.namespaces.get(name).cloned();
    let found = found.or_else(|| (name == DEFAULT_NAMESPACE).then(Meta::default));
    let Some(mut meta) = found else {
        if has(Defect::NoNamespaceIs400) {
            return Err(Answer::text(400, "that is no namespace"));
        }
        return Err(absent(name));
    };
    if has(Defect::NamespaceOfOldLabels)
        && meta.labels.get("openfaas").is_none_or(|one| one != "true")
    {
        return Err(absent(name));
    }
    if has(Defect::NamespaceLabelsLost) {
        meta.labels.clear();
    }
    Ok(Answer::json(
        200,
        &json!({
            "name": name,
            "labels": meta.labels,
            "annotations": meta.annotations,
        }),
    ))
}

pub(super) fn create(inner: &Arc<Inner>, request: &Request) -> Answered {
    let body = object(inner, request)?;
    let name = body.text("name")?;
    if !is_namespace_name(&name) {
        return Err(Answer::text(
            400,
            format!("{name:?} is no name of a namespace"),
        ));
    }
    let meta = meta(&body)?;
    let mut state = inner.state();
    if name == DEFAULT_NAMESPACE || state.namespaces.contains_key(&name) {
        return Err(Answer::text(409, format!("the namespace {name} exists")));
    }
    state.deleted_namespaces.retain(|deleted| *deleted != name);
    state.namespaces.insert(name, meta);
    let no_content = inner.has(Defect::NamespaceCreateIs204);
    Ok(Answer::empty(if no_content { 204 } else { 201 }))
}

pub(super) fn update(inner: &Arc<Inner>, request: &Request, name: &str) -> Answered {
    let body = object(inner, request)?;
    let named = body.text("name")?;
    if named != name {
        return Err(Answer::text(
            400,
            "the name in the body is not that of the path",
        ));
    }
    let next = meta(&body)?;
    let mut state = inner.state();
    let Some(meta) = state.namespaces.get_mut(name) else {
        return Err(absent(name));
    };
    if inner.has(Defect::NamespaceUpdateMerges) {
        meta.labels.extend(next.labels);
        meta.annotations.extend(next.annotations);
    } else {
        *meta = next;
    }
    let no_content = inner.has(Defect::NamespaceUpdateIs204);
    Ok(Answer::empty(if no_content { 204 } else { 202 }))
}

pub(super) fn delete(inner: &Arc<Inner>, request: &Request, name: &str) -> Answered {
    if !request.body.is_empty() {
        let named = object(inner, request)?.text("name")?;
        if !named.is_empty() && named != name {
            return Err(Answer::text(
                400,
                "the name in the body is not that of the path",
            ));
        }
    }
    if name == DEFAULT_NAMESPACE {
        return Err(Answer::text(400, "the default namespace stays"));
    }
    let mut state = inner.state();
    if state.functions.keys().any(|key| key.0 == name) {
        return Err(Answer::text(
            409,
            format!("the namespace {name} has functions"),
        ));
    }
    if state.namespaces.remove(name).is_none() {
        if inner.has(Defect::NamespaceDeleteOfNothingIs202) {
            return Ok(Answer::empty(202));
        }
        return Err(absent(name));
    }
    state.secrets.retain(|key, _| key.0 != name);
    state.deleted_namespaces.push(name.to_owned());
    let no_content = inner.has(Defect::NamespaceDeleteIs204);
    Ok(Answer::empty(if no_content { 204 } else { 202 }))
}

fn object(inner: &Inner, request: &Request) -> Result<Object, Answer> {
    request.object(inner, &["name", "labels", "annotations"])
}

fn meta(body: &Object) -> Result<Meta, Answer> {
    Ok(Meta {
        labels: body.map("labels")?,
        annotations: body.map("annotations")?,
    })
}
