//! What a deployment asks for, checked before anything is stored.

use std::num::NonZeroUsize;
use std::time::Duration;

use provider_route::ScaleLabels;
use provider_types::{Capabilities, FunctionSpec, Host, ProviderError, seconds_or_duration};

const GRACE_PERIOD: &str = "grace_period";
const WRITE_TIMEOUT: &str = "write_timeout";

/// What the labels and the environment of a deployment say to the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// How many replicas there are to be, and when.
    pub(crate) scale: ScaleLabels,
    /// How many calls one replica takes at a time.
    pub(crate) max_inflight: Option<NonZeroUsize>,
}

impl Wishes {
    /// Reads them; contradictions and absurd numbers are refused in words.
    pub(crate) fn read(spec: &FunctionSpec, most: u64) -> Result<Self, ProviderError> {
        let scale = ScaleLabels::read(&spec.labels)?;
        check_replicas(scale.initial(), most)?;
        let max_inflight = match spec.env_vars.get("max_inflight").map(|text| text.trim()) {
            None | Some("") => None,
            Some(text) => NonZeroUsize::new(text.parse().map_err(|_| {
                ProviderError::invalid(format!(
                    "max_inflight {text:?} is not a number: give how many calls a replica takes \
                     at a time, 0 for any number"
                ))
            })?),
        };
        for name in [GRACE_PERIOD, WRITE_TIMEOUT] {
            time(spec, name)?;
        }
        Ok(Self {
            scale,
            max_inflight,
        })
    }

    /// How many replicas a function has that had `present` ones before it was updated.
    pub(crate) fn replicas_after_update(&self, present: u64) -> u64 {
        let ScaleLabels { min, max, .. } = self.scale;
        min.unwrap_or_else(|| max.map_or(present, |max| present.min(max)))
    }
}

/// Refuses a count above the bound.
pub(crate) fn check_replicas(replicas: u64, most: u64) -> Result<(), ProviderError> {
    if replicas > most {
        return Err(ProviderError::invalid(format!(
            "{replicas} replicas are too many: a function may have at most {most}"
        )));
    }
    Ok(())
}

/// What the deployer should know of fields that are not acted upon.
pub(crate) fn warnings(
    spec: &FunctionSpec,
    wishes: &Wishes,
    can: Capabilities,
    host: Host,
) -> Vec<String> {
    let mut warnings = wishes.scale.warnings.clone();
    let asked = |resources: &Option<provider_types::Resources>| {
        resources.as_ref().is_some_and(|asked| !asked.is_empty())
    };
    if asked(&spec.requests) && host == Host::default() {
        warnings.push("requests are recorded but nothing is reserved by this provider".to_owned());
    }
    if asked(&spec.limits) && !can.limits {
        warnings.push("limits are recorded but not enforced by this provider".to_owned());
    }
    if !spec.constraints.is_empty() {
        warnings.push(
            "constraints are recorded but have no effect: this provider has one host".to_owned(),
        );
    }
    if spec.read_only_root_filesystem && !can.read_only_root_filesystem {
        warnings.push(
            "readOnlyRootFilesystem is recorded but not enforced by this provider".to_owned(),
        );
    }
    warnings
}

/// How long an instance has to finish and end: its `grace_period`, else the larger of `least` and
/// its `write_timeout`.
pub(crate) fn stop_grace(spec: &FunctionSpec, least: Duration) -> Duration {
    // What cannot be read was refused when the function was deployed.
    let stated = |name| time(spec, name).ok().flatten();
    stated(GRACE_PERIOD).unwrap_or_else(|| least.max(stated(WRITE_TIMEOUT).unwrap_or_default()))
}

fn time(spec: &FunctionSpec, name: &str) -> Result<Option<Duration>, ProviderError> {
    let Some(text) = spec.env_vars.get(name).map(|text| text.trim()) else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(None);
    }
    seconds_or_duration(text)
        .map(Some)
        .map_err(|wrong| ProviderError::invalid(format!("envVars: {name} {text:?} {wrong}")))
}

#[cfg(test)]
mod tests {
    use provider_types::{FunctionRef, Namespace};

    use super::*;

    const SCALE_MIN: &str = "com.openfaas.scale.min";
    const SCALE_MAX: &str = "com.openfaas.scale.max";

    fn spec(labels: &[(&str, &str)], env: &[(&str, &str)]) -> FunctionSpec {
        let function = FunctionRef::parse_dotted("f", &Namespace::default()).unwrap();
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let mut spec = FunctionSpec::new(function, "image");
        spec.labels = labels.iter().map(own).collect();
        spec.env_vars = env.iter().map(own).collect();
        spec
    }

    fn refusal(spec: &FunctionSpec) -> String {
        Wishes::read(spec, 100).unwrap_err().to_string()
    }

    #[test]
    fn labels_that_contradict_each_other_or_make_no_sense_are_refused_in_words() {
        let contradiction = refusal(&spec(&[(SCALE_MIN, "3"), (SCALE_MAX, "2")], &[]));
        assert!(contradiction.contains("is 3"), "{contradiction}");
        assert!(refusal(&spec(&[(SCALE_MIN, "101")], &[])).contains("at most 100"));
        assert!(refusal(&spec(&[], &[("max_inflight", "lots")])).contains("max_inflight"));
        for (name, bad) in [("grace_period", "1 min"), ("write_timeout", "-1s")] {
            let words = refusal(&spec(&[], &[(name, bad)]));
            assert!(words.contains(name) && words.contains(bad), "{words}");
        }
        assert!(Wishes::read(&spec(&[], &[("grace_period", " ")]), 100).is_ok());
    }

    #[test]
    fn the_minimum_resets_the_count_and_the_maximum_bounds_it() {
        let wishes = Wishes::read(&spec(&[(SCALE_MIN, "0"), (SCALE_MAX, "4")], &[]), 100).unwrap();
        assert_eq!((wishes.scale.min, wishes.scale.max), (None, Some(4)));
        assert_eq!(wishes.replicas_after_update(3), 3);
        assert_eq!(wishes.replicas_after_update(9), 4);
        assert_eq!(wishes.replicas_after_update(0), 0);
        let wishes = Wishes::read(&spec(&[(SCALE_MIN, "2")], &[]), 100).unwrap();
        assert_eq!(wishes.replicas_after_update(9), 2);
    }

    #[test]
    fn a_function_states_its_own_grace() {
        let grace =
            |env: &[(&str, &str)]| stop_grace(&spec(&[], env), Duration::from_secs(30)).as_secs();
        assert_eq!(grace(&[]), 30);
        assert_eq!(grace(&[("write_timeout", "5s")]), 30);
        assert_eq!(grace(&[("write_timeout", "2m")]), 120);
        assert_eq!(grace(&[("write_timeout", "2m"), ("grace_period", "5s")]), 5);
    }
}
