//! How a function says that it is ready for calls.
//!
//! Source of the names: the documentation of OpenFaaS on workloads
//! (docs.openfaas.com/reference/workloads), which states no defaults. Ours are those of Kubernetes'
//! probes, with a shorter period.

use std::time::Duration;

use crate::{FunctionSpec, ProviderError, seconds_or_duration};

/// Where the watchdog of a function answers whether it is ready.
const WATCHDOG_PATH: &str = "/_/ready";

const PREFIX: &str = "com.openfaas.ready.http.";

/// What the annotations `com.openfaas.ready.http.*` of a function ask for: a GET that is answered
/// with 2xx once it is ready.
///
/// | annotation | meaning | default |
/// |---|---|---|
/// | `.path` | what is asked for | `/_/ready`, which a watchdog answers |
/// | `.initialDelaySeconds` | wait before the first try | 0 |
/// | `.periodSeconds` | at most so long between two tries | 2 |
/// | `.timeoutSeconds` | how long one may take | 1 |
/// | `.successThreshold` | so many in a row make it ready | 1 |
/// | `.failureThreshold` | so many in a row make one that was ready unready | 3 |
///
/// Times are whole seconds or Go durations; `initialDelay` and so on are taken too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadyProbe {
    /// What is asked for; `None` is the watchdog's own word.
    pub path: Option<String>,
    /// How long to wait before the first try.
    pub initial_delay: Duration,
    /// The longest time between two tries; above 0.
    pub period: Duration,
    /// How long one try may take; above 0.
    pub timeout: Duration,
    /// How many in a row must succeed; at least 1.
    pub success_threshold: u32,
    /// How many in a row must fail before one that was ready is not; at least 1.
    pub failure_threshold: u32,
}

impl Default for ReadyProbe {
    fn default() -> Self {
        Self {
            path: None,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
        }
    }
}

impl ReadyProbe {
    /// Reads the annotations of a function; `None` where it has none of these.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with the first one that makes no sense, and what would be
    /// right.
    pub fn of(spec: &FunctionSpec) -> Result<Option<Self>, ProviderError> {
        let mut probe = None;
        for (key, value) in &spec.annotations {
            if let Some(name) = key.strip_prefix(PREFIX) {
                let probe: &mut Self = probe.get_or_insert_with(Self::default);
                probe.set(name, value.trim()).map_err(|wanted| {
                    ProviderError::invalid(format!("annotation {key} is {value:?}: {wanted}"))
                })?;
            }
        }
        Ok(probe)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "path" => {
                let plain = value.starts_with('/')
                    && value
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
                if !plain {
                    return Err("give a path that starts with /, such as /ready".to_owned());
                }
                self.path = (value != WATCHDOG_PATH).then(|| value.to_owned());
            }
            "initialDelaySeconds" | "initialDelay" => self.initial_delay = time(value)?,
            "periodSeconds" | "period" => self.period = above_zero(value)?,
            "timeoutSeconds" | "timeout" => self.timeout = above_zero(value)?,
            "successThreshold" => self.success_threshold = count(value)?,
            "failureThreshold" => self.failure_threshold = count(value)?,
            // Not ours to judge.
            _ => {}
        }
        Ok(())
    }
}

fn time(value: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(3600);
    let time = seconds_or_duration(value).map_err(|error| format!("it {error}"))?;
    if time > LONGEST {
        return Err("an hour is the most".to_owned());
    }
    Ok(time)
}

fn above_zero(value: &str) -> Result<Duration, String> {
    match time(value)? {
        Duration::ZERO => Err("it must be above 0".to_owned()),
        time => Ok(time),
    }
}

fn count(value: &str) -> Result<u32, String> {
    let count = value.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "give how many in a row, 1 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FunctionRef, Namespace};

    fn read(annotations: &[(&str, &str)]) -> Result<Option<ReadyProbe>, String> {
        let function = FunctionRef::parse_dotted("f", &Namespace::default()).unwrap();
        let mut spec = FunctionSpec::new(function, "image");
        for (name, value) in annotations {
            let key = format!("com.openfaas.ready.http.{name}");
            spec.annotations.insert(key, (*value).to_owned());
        }
        ReadyProbe::of(&spec).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_is_read_and_the_rest_has_defaults() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(
            read(&[("path", "/_/ready")]),
            Ok(Some(ReadyProbe::default()))
        );
        let probe = read(&[
            ("path", "/ready?deep=1"),
            ("initialDelaySeconds", "2"),
            ("period", "500ms"),
            ("timeoutSeconds", "3s"),
            ("successThreshold", "2"),
            ("failureThreshold", "5"),
        ]);
        let wanted = ReadyProbe {
            path: Some("/ready?deep=1".to_owned()),
            initial_delay: Duration::from_secs(2),
            period: Duration::from_millis(500),
            timeout: Duration::from_secs(3),
            success_threshold: 2,
            failure_threshold: 5,
        };
        assert_eq!(probe, Ok(Some(wanted)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (name, bad) in [
            ("path", "ready"),
            ("path", ""),
            ("path", "/a b"),
            ("path", "/a\r\nX: y"),
            ("initialDelaySeconds", "-1"),
            ("initialDelaySeconds", "soon"),
            ("initialDelaySeconds", "2h"),
            ("periodSeconds", "0"),
            ("timeoutSeconds", "0s"),
            ("successThreshold", "0"),
            ("failureThreshold", "-1"),
        ] {
            let said = read(&[(name, bad)]).unwrap_err();
            assert!(said.contains(&format!("http.{name} is {bad:?}")), "{said}");
        }
    }
}
