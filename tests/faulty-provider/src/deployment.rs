//! What is deployed: checked, and shown as a status.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;

use crate::answer::Answer;
use crate::defect::Defect;
use crate::object::Object;
use crate::state::{Function, Inner};

/// How many replicas a function may have.
pub(crate) const MOST_REPLICAS: u64 = 100;

/// A deployment that was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) namespace: String,
    image: String,
    env_process: String,
    pub(crate) env_vars: BTreeMap<String, String>,
    constraints: Vec<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    requests: BTreeMap<String, String>,
}

impl Deployment {
    /// Reads one, for a namespace that was found to be there.
    pub(crate) fn read(inner: &Inner, body: &Object, namespace: String) -> Result<Self, Answer> {
        let name = body.text("service")?;
        if !is_function_name(&name) {
            let text = format!("service: {name:?} is no name of a function, as a-b-1 is one");
            return Err(Answer::text(400, text));
        }
        let deployment = Self {
            name,
            namespace,
            image: body.text("image")?,
            env_process: body.text("envProcess")?,
            env_vars: body.map("envVars")?,
            constraints: body.list("constraints")?,
            secrets: body.list("secrets")?,
            labels: body.map("labels")?,
            annotations: body.map("annotations")?,
            requests: body.map("requests")?,
        };
        let limits = body.map("limits")?;
        for (name, value) in limits.iter().chain(&deployment.requests) {
            if !is_quantity(value) && !inner.has(Defect::BadQuantityIsZero) {
                return Err(Answer::text(
                    400,
                    format!("{name}: {value:?} is no quantity"),
                ));
            }
        }
        if !limits.is_empty() && !inner.has(Defect::BadQuantityIsZero) {
            return Err(Answer::text(400, "limits: this provider cannot keep any"));
        }
        if body.flag("readOnlyRootFilesystem")? {
            let text = "readOnlyRootFilesystem: this provider cannot keep a function from writing";
            return Err(Answer::text(400, text));
        }
        let bad = |(name, value): &(&String, &String)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        };
        if let Some((name, _)) = deployment.env_vars.iter().find(bad) {
            return Err(Answer::text(
                400,
                format!("envVars: {name:?} can be no variable"),
            ));
        }
        Ok(deployment)
    }

    /// How many replicas it starts with.
    pub(crate) fn initial_replicas(&self) -> u64 {
        let least = self.labels.get("com.openfaas.scale.min");
        let least = least.and_then(|text| text.parse().ok()).unwrap_or(0);
        least.clamp(1, MOST_REPLICAS)
    }

    /// What it runs.
    pub(crate) fn process(&self, inner: &Inner) -> String {
        let wins = self.env_vars.get("fprocess");
        let wins = wins.filter(|_| !inner.has(Defect::FprocessLost));
        let process = wins.unwrap_or(&self.env_process);
        process.clone()
    }

    /// What an update of this comes to that forgets nothing (a defect).
    pub(crate) fn merged(mut self, next: Self) -> Self {
        self.labels.extend(next.labels.clone());
        self.env_vars.extend(next.env_vars.clone());
        self.annotations.extend(next.annotations.clone());
        Self {
            labels: self.labels,
            env_vars: self.env_vars,
            annotations: self.annotations,
            ..next
        }
    }
}

/// The status of a function, for itself or as an entry of the list.
pub(crate) fn status(inner: &Inner, function: &Function, listed: bool) -> Value {
    let has = |defect| inner.has(defect);
    let deployed = &function.deployment;
    let mut status = Map::new();
    let mut put = |name: &str, value: Value| status.insert(name.to_owned(), value);
    put("name", json!(deployed.name));
    if !has(Defect::NoImage) {
        put("image", json!(deployed.image));
    }
    if !(listed && has(Defect::NoNamespaceInList)) {
        put("namespace", json!(deployed.namespace));
    }
    if !deployed.env_process.is_empty() {
        put("envProcess", json!(deployed.env_process));
    }
    if !deployed.env_vars.is_empty() {
        let shown = deployed.env_vars.iter().map(|(name, value)| {
            let cut = value.split('=').take(2).collect::<Vec<_>>().join("=");
            let value = if has(Defect::EnvShownCut) {
                cut
            } else {
                value.clone()
            };
            (name.clone(), json!(value))
        });
        put("envVars", Value::Object(shown.collect()));
    }
    if !deployed.constraints.is_empty() {
        put("constraints", json!(deployed.constraints));
    }
    if !deployed.secrets.is_empty() {
        put("secrets", json!(deployed.secrets));
    }
    put("labels", labels(inner, deployed));
    put("annotations", annotations(inner, deployed));
    if !deployed.requests.is_empty() {
        put("requests", json!(deployed.requests));
    }
    let number = |count: u64| {
        if has(Defect::ReplicasAreText) {
            json!(count.to_string())
        } else {
            json!(count)
        }
    };
    let mut wanted = function.wanted;
    if has(Defect::ScaleClamped) || (has(Defect::ZeroShowsOne) && wanted == 0) {
        wanted = 1;
    }
    let hidden = has(Defect::NoReplicas) && !listed || has(Defect::NoReplicasInList) && listed;
    if wanted > 0 && !hidden {
        put("replicas", number(wanted));
    }
    let available = function.available() as u64;
    if available > 0 && !has(Defect::NeverAvailable) {
        put("availableReplicas", number(available));
    }
    let created = if has(Defect::CreatedIsNumber) {
        json!(function.created.unix_timestamp())
    } else {
        json!(function.created.format(&Rfc3339).unwrap_or_default())
    };
    put("createdAt", created);
    Value::Object(status)
}

fn labels(inner: &Inner, deployed: &Deployment) -> Value {
    let mut labels = deployed.labels.clone();
    if inner.has(Defect::LabelsCut) {
        labels = labels.into_iter().take(64).collect();
    }
    if inner.has(Defect::LabelsLower) {
        labels
            .values_mut()
            .for_each(|value| *value = value.to_lowercase());
    }
    labels.insert("faas_function".to_owned(), deployed.name.clone());
    json!(labels)
}

fn annotations(inner: &Inner, deployed: &Deployment) -> Value {
    let mut annotations = deployed.annotations.clone();
    if inner.has(Defect::AnnotationsOneLine) {
        let flat = |value: &mut String| *value = value.replace('\n', " ");
        annotations.values_mut().for_each(flat);
    }
    json!(annotations)
}

/// Small letters, digits, hyphens and dots, the last two within; at most 63.
pub(crate) fn is_function_name(name: &str) -> bool {
    let inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    name.len() <= 63
        && !name.contains("..")
        && name.bytes().all(inner)
        && name.starts_with(|one: char| one.is_ascii_alphanumeric())
        && name.ends_with(|one: char| one.is_ascii_alphanumeric())
}

/// The same without dots.
pub(crate) fn is_namespace_name(name: &str) -> bool {
    is_function_name(name) && !name.contains('.')
}

/// A number with a suffix of Kubernetes: `128Mi`, `0.5`, `100m`.
fn is_quantity(text: &str) -> bool {
    let number = text.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let suffix = text.get(number.len()..).unwrap_or_default();
    let known = [
        "", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    number.parse::<f64>().is_ok_and(|number| number >= 0.0) && known.contains(&suffix)
}
