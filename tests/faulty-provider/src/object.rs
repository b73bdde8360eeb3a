//! JSON of requests, read as Go reads it: any case of names, `null` for absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::answer::Answer;

/// The body of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Answer> {
        let bad = |what: &dyn std::fmt::Display| {
            Answer::text(400, format!("the body is not JSON: {what}"))
        };
        let value: Value = serde_json::from_slice(body).map_err(|error| bad(&error))?;
        let Value::Object(members) = value else {
            return Err(bad(&"an object is needed"));
        };
        let lower = members
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        Ok(Self(lower.collect()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn has_null(&self) -> bool {
        self.0.values().any(Value::is_null)
    }

    /// Takes members out that have a type that nobody expects (a defect).
    pub(crate) fn without_wrong_types(mut self) -> Self {
        self.0.retain(|name, value| match name.as_str() {
            "labels" | "annotations" | "envvars" | "limits" | "requests" => value.is_object(),
            "secrets" | "constraints" => value.is_array(),
            "replicas" => value.is_u64(),
            "readonlyrootfilesystem" => value.is_boolean(),
            _ => value.is_string(),
        });
        for value in self.0.values_mut() {
            if let Value::Object(members) = value {
                members.retain(|_, value| value.is_string());
            }
            if let Value::Array(elements) = value {
                elements.retain(Value::is_string);
            }
        }
        self
    }

    fn member(&self, name: &str) -> Option<&Value> {
        let found = self.0.get(&name.to_ascii_lowercase());
        found.filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Result<String, Answer> {
        match self.member(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, Answer> {
        match self.member(name) {
            None => Ok(0),
            Some(value) => value
                .as_u64()
                .ok_or_else(|| wrong(name, "a number that is whole and not negative")),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Answer> {
        match self.member(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| wrong(name, "true or false")),
        }
    }

    pub(crate) fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Answer> {
        let bad = || wrong(name, "an object of strings");
        let Some(value) = self.member(name) else {
            return Ok(BTreeMap::new());
        };
        let members = value.as_object().ok_or_else(bad)?.iter();
        let texts = members.map(|(name, value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Null => Ok((name.clone(), String::new())),
            _ => Err(bad()),
        });
        texts.collect()
    }

    pub(crate) fn list(&self, name: &str) -> Result<Vec<String>, Answer> {
        let bad = || wrong(name, "an array of strings");
        let Some(value) = self.member(name) else {
            return Ok(Vec::new());
        };
        let elements = value.as_array().ok_or_else(bad)?.iter();
        let texts = elements.map(|one| one.as_str().map(str::to_owned).ok_or_else(bad));
        texts.collect()
    }
}

fn wrong(name: &str, what: &str) -> Answer {
    Answer::text(400, format!("{name} must be {what}"))
}
