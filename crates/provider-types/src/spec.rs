//! From a deployment as it came to a function as it is to be, and from that to what is reported.

use std::collections::BTreeMap;
use std::fmt;

use crate::wire::{FunctionDeployment, FunctionResources, FunctionStatus};
use crate::{
    FunctionName, FunctionRef, FunctionSpec, NameRule, Namespace, ProviderError, Quantity,
    Resources, SecretName,
};

/// The variable that older clients name the process in; it goes before `envProcess`.
const FPROCESS: &str = "fprocess";

/// The devices of [`FunctionResources`], by the keys that the wire uses.
const NVIDIA: &str = "nvidia.com/gpu";
const AMD: &str = "amd.com/gpu";
const INTEL: &str = "intel.com/gpu";

impl FunctionDeployment {
    /// Checks a deployment and takes it apart: names and quantities parsed, `envVars.fprocess` in
    /// the place of `envProcess`, empty maps and resources gone.
    ///
    /// `default` is where a deployment goes that names no namespace.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with the first field that is wrong and what would be
    /// right: a missing or invalid name, a missing image, a bad quantity, a secret or variable that
    /// cannot be called so.
    pub fn into_spec(
        self,
        default: &Namespace,
        rule: NameRule,
    ) -> Result<FunctionSpec, ProviderError> {
        let Self {
            service,
            image,
            namespace,
            env_process,
            mut env_vars,
            constraints,
            secrets,
            labels,
            annotations,
            limits,
            requests,
            read_only_root_filesystem,
        } = self;

        if service.is_empty() {
            return Err(wrong("service", "is required"));
        }
        let name = FunctionName::with_rule(&service, rule).map_err(|e| wrong("service", e))?;
        let namespace = if namespace.is_empty() {
            default.clone()
        } else {
            Namespace::new(&namespace).map_err(|e| wrong("namespace", e))?
        };
        if image.trim().is_empty() {
            return Err(wrong("image", "is required"));
        }
        let secrets = secrets
            .iter()
            .map(|secret| SecretName::new(secret).map_err(|e| wrong("secrets", e)))
            .collect::<Result<_, _>>()?;

        let process = env_vars
            .remove(FPROCESS)
            .filter(|process| !process.is_empty())
            .unwrap_or(env_process);
        if process.contains('\0') {
            return Err(wrong("envProcess", "must not hold a NUL character"));
        }
        check_variables(&env_vars)?;

        let mut spec = FunctionSpec::new(FunctionRef::new(name, namespace), image);
        spec.env_process = Some(process).filter(|process| !process.is_empty());
        spec.env_vars = env_vars;
        spec.constraints = constraints;
        spec.secrets = secrets;
        spec.labels = labels.unwrap_or_default();
        spec.annotations = annotations.unwrap_or_default();
        spec.limits = resources("limits", limits)?;
        spec.requests = resources("requests", requests)?;
        spec.read_only_root_filesystem = read_only_root_filesystem;
        Ok(spec)
    }
}

impl FunctionStatus {
    /// Reports a function exactly as it was deployed; what was not given stays away. Replicas, the
    /// time of creation and usage are for the back-end to fill in.
    #[must_use]
    pub fn from_spec(spec: &FunctionSpec) -> Self {
        let mut status = Self::default();
        status.set_spec(spec);
        status
    }

    /// The same in the place of another function: all that is deployed is as in `spec`, the rest
    /// stays. Memory is used again, which is what a long list takes its time for.
    pub fn set_spec(&mut self, spec: &FunctionSpec) {
        let process = spec.env_process.as_deref().unwrap_or_default();
        spec.function.name.as_str().clone_into(&mut self.name);
        self.image.clone_from(&spec.image);
        let namespace = &spec.function.namespace;
        namespace.as_str().clone_into(&mut self.namespace);
        process.clone_into(&mut self.env_process);
        put(&mut self.env_vars, &spec.env_vars);
        self.constraints.clone_from(&spec.constraints);
        let secrets = spec.secrets.iter();
        self.secrets.clear();
        self.secrets
            .extend(secrets.map(|name| name.as_str().to_owned()));
        put(&mut self.labels, &spec.labels);
        put(&mut self.annotations, &spec.annotations);
        self.limits = spec.limits.as_ref().map(as_deployed);
        self.requests = spec.requests.as_ref().map(as_deployed);
        self.read_only_root_filesystem = spec.read_only_root_filesystem;
    }
}

/// Makes one map the same as another. Functions have many keys in common.
fn put(to: &mut BTreeMap<String, String>, from: &BTreeMap<String, String>) {
    to.retain(|key, _| from.contains_key(key));
    for (key, value) in from {
        match to.get_mut(key) {
            Some(present) => present.clone_from(value),
            None => drop(to.insert(key.clone(), value.clone())),
        }
    }
}

fn wrong(field: &str, why: impl fmt::Display) -> ProviderError {
    ProviderError::invalid(format!("validation failed: {field}: {why}"))
}

/// A variable's name ends at `=` and its value at NUL, so neither can be handed to a process.
fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), ProviderError> {
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) {
            let shown: String = name.chars().take(80).collect();
            let why =
                format!("{shown:?} is no variable: a name is not empty and has no '=' or NUL");
            return Err(wrong("envVars", why));
        }
        if value.contains('\0') {
            let why = format!("the value of {name:?} must not hold a NUL character");
            return Err(wrong("envVars", why));
        }
    }
    Ok(())
}

fn resources(
    field: &str,
    given: Option<FunctionResources>,
) -> Result<Option<Resources>, ProviderError> {
    let given = given.unwrap_or_default();
    let quantity = |key: &str, text: &str| {
        if text.is_empty() {
            return Ok(None);
        }
        Quantity::parse(text)
            .map(Some)
            .map_err(|e| wrong(&format!("{field}.{key}"), e))
    };
    let mut parsed = Resources {
        memory: quantity("memory", &given.memory)?,
        cpu: quantity("cpu", &given.cpu)?,
        devices: BTreeMap::new(),
    };
    for (key, text) in [
        (NVIDIA, &given.nvidia_gpu),
        (AMD, &given.amd_gpu),
        (INTEL, &given.intel_gpu),
    ] {
        if let Some(count) = quantity(key, text)? {
            parsed.devices.insert(key.to_owned(), count);
        }
    }
    Ok(Some(parsed).filter(|parsed| !parsed.is_empty()))
}

fn as_deployed(resources: &Resources) -> FunctionResources {
    let text = |quantity: Option<&Quantity>| {
        quantity.map_or_else(String::new, |it| it.as_str().to_owned())
    };
    let mut given = FunctionResources::new(
        text(resources.memory.as_ref()),
        text(resources.cpu.as_ref()),
    );
    given.nvidia_gpu = text(resources.devices.get(NVIDIA));
    given.amd_gpu = text(resources.devices.get(AMD));
    given.intel_gpu = text(resources.devices.get(INTEL));
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn spec(body: &str) -> Result<FunctionSpec, ProviderError> {
        let deployment: FunctionDeployment = wire::from_slice(body.as_bytes())?;
        deployment.into_spec(&Namespace::default(), NameRule::DnsLabel)
    }

    #[track_caller]
    fn refused(body: &str, why: &str) {
        let error = spec(body).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(why), "{error}");
    }

    #[test]
    fn what_was_deployed_is_what_is_reported() {
        let body = concat!(
            r#"{"service":"f","image":"i:1","namespace":"dev","envProcess":"cat","#,
            r#""envVars":{"A":"1=2","B":""},"constraints":["a=b"],"secrets":["s"],"#,
            r#""labels":{"l":"1"},"annotations":{"a":"{\n}"},"#,
            r#""limits":{"memory":"128Mi","cpu":"1000m","nvidia.com/gpu":"1","#,
            r#""amd.com/gpu":"2","intel.com/gpu":"3"},"requests":{"cpu":"0.50"},"#,
            r#""readOnlyRootFilesystem":true}"#,
        );
        let status = FunctionStatus::from_spec(&spec(body).unwrap());
        let reported = wire::to_string(&status);
        let wanted = body
            .replacen("service", "name", 1)
            .replace("true}", r#"true,"createdAt":"0001-01-01T00:00:00Z"}"#);
        assert_eq!(reported, wanted);
    }

    #[test]
    fn what_was_not_deployed_is_not_reported() {
        let bare = concat!(
            r#"{"service":"f","image":"i","labels":null,"annotations":null,"envVars":{},"#,
            r#""limits":{},"requests":{"memory":""}}"#
        );
        let status = FunctionStatus::from_spec(&spec(bare).unwrap());
        assert_eq!(
            wire::to_string(&status),
            concat!(
                r#"{"name":"f","image":"i","namespace":"openfaas-fn","labels":{},"#,
                r#""annotations":{},"createdAt":"0001-01-01T00:00:00Z"}"#
            )
        );
    }

    #[test]
    fn nothing_stays_of_the_function_whose_place_another_takes() {
        let full = concat!(
            r#"{"service":"f","image":"i:1","namespace":"dev","envProcess":"cat","#,
            r#""envVars":{"A":"1","B":"2"},"constraints":["a=b"],"secrets":["s"],"#,
            r#""labels":{"l":"1","m":"2"},"annotations":{"a":"1"},"limits":{"cpu":"1"},"#,
            r#""requests":{"memory":"1Mi"},"readOnlyRootFilesystem":true}"#,
        );
        let other = r#"{"service":"g","image":"j","envVars":{"B":"3","C":"4"},"labels":{"m":"5"}}"#;
        let all = [full, other, full, r#"{"service":"h","image":"k"}"#, other];
        let mut status = FunctionStatus::default();
        for body in all {
            let spec = spec(body).unwrap();
            status.annotations.insert("said".to_owned(), "x".to_owned());
            status.set_spec(&spec);
            assert_eq!(status, FunctionStatus::from_spec(&spec));
        }
    }

    #[test]
    fn fprocess_goes_before_env_process() {
        let both = r#"{"service":"f","image":"i","envProcess":"a","envVars":{"fprocess":"b"}}"#;
        let both = spec(both).unwrap();
        assert_eq!(both.env_process.as_deref(), Some("b"));
        assert!(both.env_vars.is_empty());
        let empty = r#"{"service":"f","image":"i","envProcess":"a","envVars":{"fprocess":""}}"#;
        assert_eq!(spec(empty).unwrap().env_process.as_deref(), Some("a"));
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        refused(r#"{"image":"i"}"#, "service: is required");
        refused(
            r#"{"service":"f"}"#,
            "validation failed: image: is required",
        );
        refused(r#"{"service":"f","image":" "}"#, "image: is required");
        refused(r#"{"service":"../f","image":"i"}"#, r#""../f" is invalid"#);
        refused(
            r#"{"service":"f","image":"i","namespace":"a.b"}"#,
            "namespace: namespace \"a.b\" is invalid",
        );
        refused(
            r#"{"service":"f","image":"i","secrets":["ok","../x"]}"#,
            "secrets: secret name \"../x\" is invalid",
        );
        refused(
            r#"{"service":"f","image":"i","limits":{"memory":"12Q"}}"#,
            "limits.memory: \"12Q\" is not a quantity",
        );
        refused(
            r#"{"service":"f","image":"i","requests":{"cpu":"-1"}}"#,
            "requests.cpu: \"-1\" is not a quantity: it must not be negative",
        );
        refused(
            r#"{"service":"f","image":"i","limits":{"nvidia.com/gpu":"x"}}"#,
            "limits.nvidia.com/gpu",
        );
        refused(
            r#"{"service":"f","image":"i","envVars":{"":"x"}}"#,
            "envVars",
        );
        refused(
            r#"{"service":"f","image":"i","envVars":{"A=B":"x"}}"#,
            "A=B",
        );
        refused(
            r#"{"service":"f","image":"i","envVars":{"A":"\u0000"}}"#,
            "the value of \"A\"",
        );
        refused(
            r#"{"service":"f","image":"i","envProcess":"\u0000"}"#,
            "envProcess",
        );
        refused(
            r#"{"service":"f","image":"i","envVars":{"A":true}}"#,
            "field \"envVars\": key \"A\": expected a string, not a boolean",
        );
    }

    #[test]
    fn a_widened_rule_takes_wider_names() {
        let deployment = FunctionDeployment::new("My_fn.v2", "i");
        let spec = deployment
            .into_spec(&Namespace::default(), NameRule::Dotted)
            .unwrap();
        assert_eq!(spec.function.name.as_str(), "My_fn.v2");
    }
}
