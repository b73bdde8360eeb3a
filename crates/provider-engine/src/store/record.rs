//! How a function is written down.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use provider_types::wire::{FunctionDeployment, FunctionStatus};
use provider_types::{FunctionSpec, NameRule, Namespace, ProviderError, SecretName};
use serde::{Deserialize, Serialize};

/// A function as it is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FunctionRecord {
    /// Rises with every change of any function; never used twice.
    pub(crate) generation: u64,
    /// When the function was deployed first.
    pub(crate) created_at: SystemTime,
    /// What it is to be.
    pub(crate) spec: Arc<FunctionSpec>,
    /// How many replicas it is to have.
    pub(crate) replicas: u64,
    /// What it was, while an update is not through: an update that fails goes back to this.
    pub(crate) previous: Option<PreviousRecord>,
}

/// What a function was before an update that is not through.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PreviousRecord {
    pub(crate) generation: u64,
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) replicas: u64,
}

/// The bytes in the store and in a backup: JSON, the function in the form of a deployment on the
/// wire, which is as stable as the API.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredFunction {
    generation: u64,
    created_at_nanos: u64,
    replicas: u64,
    function: FunctionDeployment,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<StoredPrevious>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPrevious {
    generation: u64,
    function: FunctionDeployment,
    replicas: u64,
}

/// Why bytes in the store are no function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("it is not in the form of a record")]
    Form(#[from] serde_json::Error),
    #[error("it is that of {0}")]
    OtherName(String),
    #[error("it is not a valid deployment")]
    Deployment(#[from] ProviderError),
}

impl FunctionRecord {
    /// Whether it needs a secret, or would when an update is undone.
    pub(crate) fn uses(&self, secret: &SecretName) -> bool {
        let previous = self.previous.iter().map(|previous| &previous.spec);
        previous
            .chain([&self.spec])
            .any(|spec| spec.secrets.contains(secret))
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(&self.to_stored())?)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::from_stored(serde_json::from_slice(bytes)?)
    }

    pub(crate) fn to_stored(&self) -> StoredFunction {
        let since_epoch = self.created_at.duration_since(UNIX_EPOCH);
        let nanos = since_epoch.unwrap_or_default().as_nanos();
        StoredFunction {
            generation: self.generation,
            created_at_nanos: u64::try_from(nanos).unwrap_or(u64::MAX),
            replicas: self.replicas,
            function: deployment(&self.spec),
            previous: self.previous.as_ref().map(|previous| StoredPrevious {
                generation: previous.generation,
                function: deployment(&previous.spec),
                replicas: previous.replicas,
            }),
        }
    }

    pub(crate) fn from_stored(stored: StoredFunction) -> Result<Self, RecordError> {
        let previous = match stored.previous {
            Some(previous) => Some(PreviousRecord {
                generation: previous.generation,
                spec: spec(previous.function)?,
                replicas: previous.replicas,
            }),
            None => None,
        };
        Ok(Self {
            generation: stored.generation,
            created_at: UNIX_EPOCH + Duration::from_nanos(stored.created_at_nanos),
            spec: spec(stored.function)?,
            replicas: stored.replicas,
            previous,
        })
    }
}

fn spec(deployment: FunctionDeployment) -> Result<Arc<FunctionSpec>, ProviderError> {
    // The widest rule: what names are taken was decided when the function was deployed.
    let spec = deployment.into_spec(&Namespace::default(), NameRule::Dotted)?;
    Ok(Arc::new(spec))
}

fn deployment(spec: &FunctionSpec) -> FunctionDeployment {
    let as_reported = FunctionStatus::from_spec(spec);
    let mut deployment = FunctionDeployment::new(as_reported.name, as_reported.image);
    deployment.namespace = as_reported.namespace;
    deployment.env_process = as_reported.env_process;
    deployment.env_vars = as_reported.env_vars;
    deployment.constraints = as_reported.constraints;
    deployment.secrets = as_reported.secrets;
    deployment.labels = Some(as_reported.labels);
    deployment.annotations = Some(as_reported.annotations);
    deployment.limits = as_reported.limits;
    deployment.requests = as_reported.requests;
    deployment.read_only_root_filesystem = as_reported.read_only_root_filesystem;
    deployment
}

#[cfg(test)]
mod tests {
    use provider_types::{FunctionRef, Quantity, Resources};

    use super::*;

    fn full(name: &str) -> Arc<FunctionSpec> {
        let function = FunctionRef::parse_dotted(name, &Namespace::default()).unwrap();
        let mut spec = FunctionSpec::new(function, "ghcr.io/x/y:1");
        spec.env_process = Some("cat".to_owned());
        spec.env_vars = [("A".to_owned(), "1=2\n".to_owned())].into();
        spec.constraints = vec!["a=b".to_owned()];
        spec.secrets = vec![SecretName::new("key").unwrap()];
        spec.labels = [("l".to_owned(), "<&>".to_owned())].into();
        spec.annotations = [("a".to_owned(), "\u{1f980}".to_owned())].into();
        let mut resources = Resources::default();
        resources.memory = Some(Quantity::parse("128Mi").unwrap());
        spec.limits = Some(resources.clone());
        resources.cpu = Some(Quantity::parse("1000m").unwrap());
        spec.requests = Some(resources);
        spec.read_only_root_filesystem = true;
        Arc::new(spec)
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let record = FunctionRecord {
            generation: 7,
            created_at: UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
            spec: full("f.staging"),
            replicas: 2,
            previous: Some(PreviousRecord {
                generation: 3,
                spec: full("f.staging"),
                replicas: 4,
            }),
        };
        let read = FunctionRecord::from_bytes(&record.to_bytes().unwrap()).unwrap();
        assert_eq!(read, record);
        // Quantities are equal by value; what was written must come back too.
        let text = |record: &FunctionRecord| {
            let requests = record.spec.requests.clone().unwrap();
            requests.cpu.unwrap().to_string()
        };
        assert_eq!(text(&read), "1000m");
    }

    #[test]
    fn the_form_of_the_present_schema_is_read() {
        let bytes = br#"{"generation":2,"createdAtNanos":5,"replicas":3,"function":{"service":"f",
            "image":"i","namespace":"n","secrets":["s"],"labels":{"a":"b"}}}"#;
        let read = FunctionRecord::from_bytes(bytes).unwrap();
        assert_eq!((read.generation, read.replicas), (2, 3));
        assert_eq!(read.previous, None);
        assert_eq!(read.spec.function.to_string(), "f.n");
        assert_eq!(read.spec.secrets[0].as_str(), "s");
        assert!(FunctionRecord::from_bytes(b"{}").is_err());
    }
}
