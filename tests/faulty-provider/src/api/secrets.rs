//! Secrets.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Request, namespace};
use crate::answer::Answer;
use crate::defect::Defect;
use crate::object::Object;
use crate::state::{DEFAULT_NAMESPACE, Inner, Key, State};

type Answered = Result<Answer, Answer>;

pub(super) fn list(inner: &Arc<Inner>, request: &Request) -> Answered {
    let state = inner.state();
    let query = request.query("namespace");
    let has = |defect| inner.has(defect);
    if has(Defect::EmptyNamespaceOfSecrets) && query == Some("")
        || has(Defect::DefaultOfSecretsRefused) && query == Some(DEFAULT_NAMESPACE)
    {
        return Err(Answer::text(400, "that is no namespace"));
    }
    let namespace = namespace(inner, &state, None, query)?;
    let deleted = state
        .deleted_secrets
        .iter()
        .filter(|_| has(Defect::DeletedSecretListed));
    let deleted = deleted.map(|key| (key, &[][..]));
    let kept = state
        .secrets
        .iter()
        .map(|(key, value)| (key, value.as_slice()));
    let mut listed = Vec::new();
    for (key, value) in kept.chain(deleted) {
        if has(Defect::SecretNotListed) || key.0 != namespace && !has(Defect::SecretsOfAll) {
            continue;
        }
        let mut entry = json!({ "name": key.1, "namespace": key.0 });
        if let Some(entry) = entry
            .as_object_mut()
            .filter(|_| has(Defect::SecretValuesListed))
        {
            let text = String::from_utf8_lossy(value).into_owned();
            entry.insert("value".to_owned(), Value::String(text));
        }
        listed.push(if has(Defect::SecretsAreNames) {
            json!(key.1)
        } else {
            entry
        });
    }
    if listed.is_empty() && has(Defect::NoSecretsIsNull) {
        return Ok(Answer::json(200, &Value::Null));
    }
    Ok(Answer::json(200, &Value::Array(listed)))
}

pub(super) fn create(inner: &Arc<Inner>, request: &Request) -> Answered {
    let body = object(inner, request)?;
    let mut state = inner.state();
    let key = key(inner, &state, request, &body)?;
    let value = value(inner, &body)?;
    if let Some(kept) = state.secrets.get_mut(&key) {
        if inner.has(Defect::ExistingSecretIs500) {
            return Err(Answer::text(500, "the secret cannot be written"));
        }
        if inner.has(Defect::ExistingSecretChanged) {
            *kept = value;
        }
        return Err(Answer::text(409, format!("the secret {} exists", key.1)));
    }
    state.first_secrets.insert(key.clone(), value.clone());
    state.deleted_secrets.retain(|deleted| *deleted != key);
    state.secrets.insert(key, value);
    let no_content = inner.has(Defect::SecretCreateIs204);
    Ok(Answer::empty(if no_content { 204 } else { 201 }))
}

pub(super) fn update(inner: &Arc<Inner>, request: &Request) -> Answered {
    let body = object(inner, request)?;
    let mut state = inner.state();
    let key = key(inner, &state, request, &body)?;
    let value = value(inner, &body)?;
    let Some(kept) = state.secrets.get_mut(&key) else {
        return Err(Answer::text(404, format!("there is no secret {}", key.1)));
    };
    if !(inner.has(Defect::SecretUpdateElsewhere) && key.0 != DEFAULT_NAMESPACE) {
        *kept = value;
    }
    let created = inner.has(Defect::SecretUpdateIs201);
    Ok(Answer::empty(if created { 201 } else { 200 }))
}

pub(super) fn delete(inner: &Arc<Inner>, request: &Request) -> Answered {
    let body = object(inner, request)?;
    let mut state = inner.state();
    if inner.has(Defect::SecretRefusedYetDeleted) {
        let name = body.text("name")?;
        let last = name.rsplit_once('/').map(|(_, last)| last.to_owned());
        last.and_then(|last| state.secrets.remove(&(DEFAULT_NAMESPACE.to_owned(), last)));
    }
    let key = if inner.has(Defect::SecretDeleteUnchecked) {
        (DEFAULT_NAMESPACE.to_owned(), body.text("name")?)
    } else {
        key(inner, &state, request, &body)?
    };
    if state.secrets.remove(&key).is_none() {
        if inner.has(Defect::SecretDeleteOfNothingIs500) {
            let text = format!("remove /var/lib/provider/secrets/{}: no such file", key.1);
            return Err(Answer::text(500, text));
        }
        if inner.has(Defect::SecretDeleteUnchecked) {
            // The path was walked, whatever is there.
            return Ok(Answer::empty(200));
        }
        return Err(Answer::text(404, format!("there is no secret {}", key.1)));
    }
    state.deleted_secrets.push(key);
    let no_content = inner.has(Defect::SecretDeleteIs204);
    Ok(Answer::empty(if no_content { 204 } else { 200 }))
}

fn object(inner: &Inner, request: &Request) -> Result<Object, Answer> {
    request.object(inner, &["name", "namespace", "value", "rawvalue"])
}

fn key(inner: &Inner, state: &State, request: &Request, body: &Object) -> Result<Key, Answer> {
    let has = |defect| inner.has(defect);
    let name = body.text("name")?;
    if !is_secret_name(&name) && !has(Defect::SecretNameUnchecked) {
        let mut text = format!("{name:?} is no name of a secret");
        if has(Defect::SecretsInErrors) {
            text = format!("{text}, value {}", body.text("value")?);
        }
        if has(Defect::PathsInErrors) {
            text = format!("open /var/lib/provider/secrets/{name}: {text}");
        }
        return Err(Answer::text(400, text));
    }
    let named = body.text("namespace")?;
    if has(Defect::SecretNamespaceUnchecked) && !named.is_empty() {
        return Ok((named, name));
    }
    let ignored = has(Defect::SecretBodyNamespaceIgnored)
        || has(Defect::SecretDeleteByQuery) && request.method == "DELETE";
    let named = Some(named.as_str()).filter(|_| !ignored);
    Ok((
        namespace(inner, state, named, request.query("namespace"))?,
        name,
    ))
}

fn value(inner: &Inner, body: &Object) -> Result<Vec<u8>, Answer> {
    let text = body.text("value")?;
    let raw = body.text("rawValue")?;
    if inner.has(Defect::RawValueRefused) && !raw.is_empty() {
        return Err(Answer::text(400, "rawValue is not known here"));
    }
    let raw = STANDARD.decode(raw.replace(['\r', '\n'], ""));
    let raw = raw.map_err(|_| Answer::text(400, "rawValue: this is no base64"))?;
    let text_wins = inner.has(Defect::SecretValueWins) && !text.is_empty();
    Ok(if raw.is_empty() || text_wins {
        text.into_bytes()
    } else {
        raw
    })
}

/// A name that is a file's in any directory.
fn is_secret_name(name: &str) -> bool {
    name.len() <= 253
        && !name.contains("..")
        && name.starts_with(|one: char| one.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|one| one.is_ascii_alphanumeric() || b"-._".contains(&one))
}
