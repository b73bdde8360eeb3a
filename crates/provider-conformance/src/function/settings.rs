//! What the test function is told when it starts.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a test function starts.
#[non_exhaustive]
pub struct FunctionSettings {
    /// Where it listens: `[::]:8080`, unless the variables say otherwise.
    pub address: SocketAddr,
    /// How long it waits before it listens.
    pub start_after: Duration,
    /// How long it is not ready, counted from when it listens.
    pub ready_after: Duration,
    /// Where its secrets are.
    pub secrets: PathBuf,
    /// What `environment` reports as its variables.
    pub variables: BTreeMap<String, String>,
    /// What `environment` reports as its arguments.
    pub arguments: Vec<String>,
    /// Where lines for the standard output go; nowhere at first.
    pub stdout: Box<dyn Write + Send>,
    /// Where lines for the standard error go; nowhere at first.
    pub stderr: Box<dyn Write + Send>,
}

/// A variable that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the variable {name} is {value:?}; {right}")]
pub struct SettingsError {
    name: &'static str,
    value: String,
    right: &'static str,
}

impl FunctionSettings {
    /// What these variables say, the environment of the process as a rule.
    ///
    /// # Errors
    /// [`SettingsError`] for a port, an address or a time that is none.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        let port = match read(&variables, "port", "give a port from 0 to 65535")? {
            Some(port) => port,
            None => read(&variables, "PORT", "give a port from 0 to 65535")?.unwrap_or(8080),
        };
        let host = read(&variables, "host", "give an address such as 127.0.0.1")?
            .unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let after = |name| -> Result<Duration, SettingsError> {
            let time = read(&variables, name, "give a number of milliseconds")?;
            Ok(Duration::from_millis(time.unwrap_or(0)))
        };
        let mut settings = Self {
            address: SocketAddr::new(host, port),
            start_after: after("start_after")?,
            ready_after: after("ready_after")?,
            ..Self::default()
        };
        if let Some(secrets) = variables.get("OPENFAAS_SECRETS_DIR") {
            settings.secrets = PathBuf::from(secrets);
        }
        settings.variables = variables;
        Ok(settings)
    }
}

/// A test function that knows no environment, on a free port of this machine.
impl Default for FunctionSettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            start_after: Duration::ZERO,
            ready_after: Duration::ZERO,
            secrets: PathBuf::from("/var/openfaas/secrets"),
            variables: BTreeMap::new(),
            arguments: Vec::new(),
            stdout: Box::new(std::io::sink()),
            stderr: Box::new(std::io::sink()),
        }
    }
}

impl fmt::Debug for FunctionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionSettings")
            .field("address", &self.address)
            .field("start_after", &self.start_after)
            .field("ready_after", &self.ready_after)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

/// A variable; empty is as good as absent.
fn read<T: std::str::FromStr>(
    variables: &BTreeMap<String, String>,
    name: &'static str,
    right: &'static str,
) -> Result<Option<T>, SettingsError> {
    match variables.get(name).filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(SettingsError {
                name,
                value: value.clone(),
                right,
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<FunctionSettings, SettingsError> {
        FunctionSettings::from_variables(
            variables
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned())),
        )
    }

    #[test]
    fn the_lower_case_port_wins_and_8080_is_the_last_resort() {
        let address = |variables: &[(&str, &str)]| from(variables).unwrap().address.to_string();
        assert_eq!(address(&[]), "[::]:8080");
        assert_eq!(address(&[("PORT", "1")]), "[::]:1");
        assert_eq!(address(&[("PORT", "1"), ("port", "2")]), "[::]:2");
        assert_eq!(
            address(&[("port", ""), ("host", "127.0.0.1")]),
            "127.0.0.1:8080"
        );
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_named() {
        let error = from(&[("start_after", "2s")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the variable start_after is \"2s\"; give a number of milliseconds"
        );
        assert!(from(&[("port", "http")]).is_err());
        assert!(from(&[("host", "nowhere")]).is_err());
    }
}
