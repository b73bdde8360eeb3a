//! The environment of a program: what it is given, and nothing else of the provider's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use provider_types::FunctionSpec;

/// The search path where the provider has none itself.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The provider's variables that programs may see.
pub(crate) const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// What the instance adds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Of [`INHERITED`], what there is.
    pub(crate) inherited: &'a BTreeMap<String, String>,
    /// The temporary directory.
    pub(crate) temp_dir: &'a Path,
    /// Where functions call others.
    pub(crate) gateway_url: &'a str,
    /// Where the secrets are.
    pub(crate) secrets_dir: &'a Path,
    /// Where the program is to listen, if it does.
    pub(crate) listens: Option<SocketAddr>,
}

/// Puts the environment together. What was deployed wins over everything.
pub(crate) fn environment(spec: &FunctionSpec, place: Place<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        variables.insert(name.to_owned(), value.to_owned());
    };
    for name in INHERITED {
        if let Some(value) = place.inherited.get(name) {
            set(name, value);
        }
    }
    set("TMPDIR", &place.temp_dir.to_string_lossy());
    set("OPENFAAS_NAME", spec.function.name.as_str());
    set("OPENFAAS_NAMESPACE", spec.function.namespace.as_str());
    set("OPENFAAS_URL", place.gateway_url);
    set("OPENFAAS_SECRETS_DIR", &place.secrets_dir.to_string_lossy());
    if let Some(process) = &spec.env_process {
        set("fprocess", process);
    }
    if let Some(address) = place.listens {
        let port = address.port().to_string();
        set("port", &port);
        set("PORT", &port);
    }
    for (name, value) in &spec.env_vars {
        set(name, value);
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider_types::{FunctionName, FunctionRef, Namespace};

    fn deployed(variables: &[(&str, &str)]) -> FunctionSpec {
        let name = FunctionName::new("env").unwrap();
        let mut spec = FunctionSpec::new(FunctionRef::new(name, Namespace::default()), "image");
        spec.env_process = Some("env".to_owned());
        spec.env_vars = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        spec
    }

    fn given(spec: &FunctionSpec, listens: Option<SocketAddr>) -> Vec<String> {
        let inherited = [("PATH", "/bin"), ("HOME", "/home/u"), ("AWS_KEY", "leak")];
        let inherited = inherited
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let place = Place {
            inherited: &inherited,
            temp_dir: Path::new("/tmp"),
            gateway_url: "http://127.0.0.1:8080",
            secrets_dir: Path::new("/state/run/a/secrets"),
            listens,
        };
        environment(spec, place)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn a_program_gets_exactly_this() {
        let spec = deployed(&[("mode", "streaming"), ("X", "a b=c\n")]);
        assert_eq!(
            given(&spec, None),
            [
                "HOME=/home/u",
                "OPENFAAS_NAME=env",
                "OPENFAAS_NAMESPACE=openfaas-fn",
                "OPENFAAS_SECRETS_DIR=/state/run/a/secrets",
                "OPENFAAS_URL=http://127.0.0.1:8080",
                "PATH=/bin",
                "TMPDIR=/tmp",
                "X=a b=c\n",
                "fprocess=env",
                "mode=streaming",
            ]
        );
    }

    #[test]
    fn a_program_that_listens_is_told_its_port_unless_it_was_deployed_with_one() {
        let address = Some("127.0.0.1:12345".parse().unwrap());
        let all = given(&deployed(&[]), address);
        assert!(all.contains(&"PORT=12345".to_owned()), "{all:?}");
        assert!(all.contains(&"port=12345".to_owned()), "{all:?}");
        let all = given(&deployed(&[("port", "8082"), ("PATH", "/mine")]), address);
        assert!(all.contains(&"port=8082".to_owned()), "{all:?}");
        assert!(all.contains(&"PATH=/mine".to_owned()), "{all:?}");
    }
}
