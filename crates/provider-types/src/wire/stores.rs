//! What is kept beside functions: namespaces, secrets and log lines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use super::codec::wire_struct;

wire_struct! {
    /// The body of the namespace routes. `faas-provider`: types/requests.go.
    #[derive(Debug, Eq)]
    FunctionNamespace {
        /// Its name.
        name: String = "name",
        /// Its annotations.
        annotations: BTreeMap<String, String> = "annotations" omitempty,
        /// Its labels.
        labels: BTreeMap<String, String> = "labels" omitempty,
    }
}

impl FunctionNamespace {
    /// A namespace without labels and annotations.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

wire_struct! {
    /// The body of the secret routes. `faas-provider`: types/secret.go.
    ///
    /// `Debug` shows the lengths of the values, never the values.
    #[derive(Eq)]
    Secret {
        /// Its name.
        name: String = "name",
        /// Its namespace; empty is the default one.
        namespace: String = "namespace" omitempty,
        /// Its value as text.
        value: String = "value" omitempty,
        /// Its value as bytes, base64 on the wire. It goes before the text where both are given.
        raw_value: Vec<u8> = "rawValue" omitempty,
    }
}

impl Secret {
    /// The name of a secret, as lists give it.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
            ..Self::default()
        }
    }

    /// The bytes that the secret holds: `rawValue` if it has any, else `value`.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        if self.raw_value.is_empty() {
            self.value.into_bytes()
        } else {
            self.raw_value
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            namespace,
            value,
            raw_value,
        } = self;
        f.debug_struct("Secret")
            .field("name", name)
            .field("namespace", namespace)
            .field("value", &format_args!("<{} bytes>", value.len()))
            .field("raw_value", &format_args!("<{} bytes>", raw_value.len()))
            .finish()
    }
}

wire_struct! {
    /// A line of `GET /system/logs`. `faas-provider`: logs/logs.go. All keys are always written.
    #[derive(Debug, Eq)]
    Message {
        /// The function's name.
        name: String = "name",
        /// The function's namespace.
        namespace: String = "namespace",
        /// Which instance wrote it.
        instance: String = "instance",
        /// When; `None` is Go's zero time.
        timestamp: Option<SystemTime> = "timestamp",
        /// What, without its newline.
        text: String = "text",
    }
}

impl Message {
    /// What an instance of a function wrote.
    pub fn new(
        name: impl Into<String>,
        namespace: impl Into<String>,
        instance: impl Into<String>,
        timestamp: SystemTime,
        text: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
            instance: instance.into(),
            timestamp: Some(timestamp),
            text: text.into(),
        }
    }
}
