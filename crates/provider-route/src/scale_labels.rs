//! What the labels of a function ask for.
//!
//! Source of names and defaults: the documentation of OpenFaaS on autoscaling
//! (docs.openfaas.com/architecture/autoscaling), and `faas: gateway/scaling`. Two are our own:
//! without a type nothing is scaled, where it has `rps`; and there is a window of a minute, where
//! it has none.

use std::collections::BTreeMap;
use std::time::Duration;

use provider_types::{ProviderError, seconds_or_duration};

use super::autoscaler::Capacity;

const MIN: &str = "com.openfaas.scale.min";
const MAX: &str = "com.openfaas.scale.max";
const ZERO: &str = "com.openfaas.scale.zero";
const ZERO_DURATION: &str = "com.openfaas.scale.zero-duration";
const TYPE: &str = "com.openfaas.scale.type";
const TARGET: &str = "com.openfaas.scale.target";
const PROPORTION: &str = "com.openfaas.scale.target-proportion";
const DOWN_WINDOW: &str = "com.openfaas.scale.down.window";

const DEFAULT_ZERO_DURATION: Duration = Duration::from_secs(15 * 60);
const DEFAULT_MAX: u64 = 20;

/// What the `com.openfaas.scale.*` labels of a function ask for, checked.
///
/// | label | values | default |
/// |---|---|---|
/// | `.min` | replicas while it is awake | 1 |
/// | `.max` | replicas | 20, where it is scaled by its calls |
/// | `.zero` | `true`: to zero when idle | `false` |
/// | `.zero-duration` | how long it must be idle | 15m |
/// | `.type` | `capacity`: by calls in flight; any other is warned of | not scaled |
/// | `.target` | calls in flight for one replica | 50 |
/// | `.target-proportion` | which part of them is to be used | 0.90 |
/// | `.down.window` | how long fewer replicas must have been enough | 1m |
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ScaleLabels {
    /// How many replicas there are to be at least; `None` where it is not said, or 0.
    pub min: Option<u64>,
    /// How many replicas there are to be at most.
    pub max: Option<u64>,
    /// It goes to zero when it was idle for so long.
    pub idle_after: Option<Duration>,
    /// It follows its calls in flight; `None` as well where the bounds are the same.
    pub capacity: Option<Capacity>,
    /// What is asked for and not done, a line each.
    pub warnings: Vec<String>,
}

impl ScaleLabels {
    /// Reads the labels of a function.
    ///
    /// # Errors
    /// [`provider_types::ErrorKind::InvalidArgument`] with the first label that makes no sense or
    /// contradicts another one, and what would be right.
    ///
    /// ```
    /// use provider_route::ScaleLabels;
    ///
    /// let labels = [("com.openfaas.scale.zero", "true"), ("com.openfaas.scale.zero-duration", "5m")];
    /// let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    /// let asked = ScaleLabels::read(&labels.into())?;
    /// assert_eq!(asked.idle_after.unwrap().as_secs(), 300);
    /// # Ok::<(), provider_types::ProviderError>(())
    /// ```
    pub fn read(labels: &BTreeMap<String, String>) -> Result<Self, ProviderError> {
        let labels = Labels(labels);
        let min = labels.count(MIN)?.filter(|&min| min > 0);
        let max = labels.count(MAX)?;
        if max == Some(0) {
            return Err(wrong(MAX, "0", "the maximum must be at least 1"));
        }
        if let (Some(min), Some(max)) = (min, max) {
            if min > max {
                return Err(ProviderError::invalid(format!(
                    "labels contradict each other: {MIN} is {min} and {MAX} is {max}"
                )));
            }
        }
        let mut warnings = Vec::new();
        let idle_after = labels.idle_after(&mut warnings)?;
        let capacity = labels.capacity(min, max, &mut warnings)?;
        Ok(Self {
            min,
            max,
            idle_after,
            capacity,
            warnings,
        })
    }

    /// With how many replicas it starts and is woken.
    #[must_use]
    pub fn initial(&self) -> u64 {
        self.min.unwrap_or(1)
    }
}

struct Labels<'a>(&'a BTreeMap<String, String>);

impl Labels<'_> {
    fn get(&self, label: &str) -> Option<&str> {
        self.0.get(label).map(|text| text.trim())
    }

    fn count(&self, label: &'static str) -> Result<Option<u64>, ProviderError> {
        let parsed = self.get(label).map(|text| {
            let wanted = "give a number of replicas, 0 or more";
            text.parse().map_err(|_| wrong(label, text, wanted))
        });
        parsed.transpose()
    }

    fn time(&self, label: &'static str) -> Result<Option<Duration>, ProviderError> {
        let parsed = self.get(label).map(|text| {
            seconds_or_duration(text)
                .map_err(|error| ProviderError::invalid(format!("label {label}: {text:?} {error}")))
        });
        parsed.transpose()
    }

    fn idle_after(&self, warnings: &mut Vec<String>) -> Result<Option<Duration>, ProviderError> {
        let zero = match self.get(ZERO) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(wrong(ZERO, other, "give true or false")),
        };
        let after = self.time(ZERO_DURATION)?;
        if after == Some(Duration::ZERO) {
            let given = self.get(ZERO_DURATION).unwrap_or_default();
            return Err(wrong(
                ZERO_DURATION,
                given,
                "give how long it must be idle, such as 15m",
            ));
        }
        if after.is_some() && !zero {
            warnings.push(format!(
                "{ZERO_DURATION} has no effect without {ZERO}: true"
            ));
        }
        Ok(zero.then(|| after.unwrap_or(DEFAULT_ZERO_DURATION)))
    }

    fn capacity(
        &self,
        min: Option<u64>,
        max: Option<u64>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Capacity>, ProviderError> {
        let min = min.unwrap_or(1);
        let mut rule = Capacity::new(min, max.unwrap_or(DEFAULT_MAX.max(min)));
        let mut given = Vec::new();
        if let Some(text) = self.get(TARGET) {
            rule.target = text
                .parse()
                .ok()
                .filter(|target| *target > 0)
                .ok_or_else(|| {
                    wrong(
                        TARGET,
                        text,
                        "give how many calls in flight one replica is for, 1 or more",
                    )
                })?;
            given.push(TARGET);
        }
        if let Some(text) = self.get(PROPORTION) {
            let sensible = |part: &f64| (0.01..=100.0).contains(part);
            rule.proportion = text.parse().ok().filter(sensible).ok_or_else(|| {
                let wanted = "give which part of the target is to be used, such as 0.9";
                wrong(PROPORTION, text, wanted)
            })?;
            given.push(PROPORTION);
        }
        if let Some(window) = self.time(DOWN_WINDOW)? {
            rule.down_window = window;
            given.push(DOWN_WINDOW);
        }
        match self.get(TYPE) {
            Some("capacity") => return Ok(Some(rule).filter(|rule| rule.min < rule.max)),
            Some("") => return Err(wrong(TYPE, "", "give capacity, or leave it out")),
            Some(other) => warnings.push(format!(
                "{TYPE} {other} is unsupported: the number of replicas stays as it is; give \
                 capacity to follow the calls in flight"
            )),
            None => warnings.extend(
                given
                    .into_iter()
                    .map(|label| format!("{label} has no effect without {TYPE}: capacity")),
            ),
        }
        Ok(None)
    }
}

fn wrong(label: &str, given: &str, wanted: &str) -> ProviderError {
    ProviderError::invalid(format!("label {label} is {given:?}: {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> Result<ScaleLabels, String> {
        let own = |(key, value): &(&str, &str)| {
            (format!("com.openfaas.scale.{key}"), (*value).to_owned())
        };
        ScaleLabels::read(&labels.iter().map(own).collect()).map_err(|error| {
            assert_eq!(error.kind(), provider_types::ErrorKind::InvalidArgument);
            error.to_string()
        })
    }

    #[test]
    fn nothing_said_is_one_replica_that_stays() {
        let asked = read(&[]).unwrap();
        assert_eq!((asked.initial(), asked.idle_after), (1, None));
        assert!(asked.capacity.is_none() && asked.warnings.is_empty());
        assert_eq!(read(&[("zero", "false")]).unwrap(), asked);
        assert_eq!(read(&[("min", "0")]).unwrap(), asked);
    }

    #[test]
    fn labels_are_read_with_the_defaults_of_openfaas() {
        let asked = read(&[("zero", "true"), ("min", "2"), ("type", "capacity")]).unwrap();
        assert_eq!(asked.idle_after, Some(Duration::from_secs(900)));
        assert_eq!(asked.initial(), 2);
        assert_eq!(asked.capacity, Some(Capacity::new(2, 20)));
        let rule = asked.capacity.unwrap();
        assert_eq!((rule.target, rule.proportion), (50, 0.9));

        let asked = read(&[
            ("type", "capacity"),
            ("max", "4"),
            ("target", "10"),
            ("target-proportion", "0.5"),
            ("down.window", "30s"),
        ]);
        let rule = asked.unwrap().capacity.unwrap();
        assert_eq!((rule.min, rule.max, rule.target), (1, 4, 10));
        assert_eq!(rule.down_window, Duration::from_secs(30));
        assert_eq!(rule.needed(11), 3);
        let wide = read(&[("type", "capacity"), ("min", "30")]).unwrap();
        assert_eq!(wide.capacity, None, "the bounds are the same");
    }

    #[test]
    fn the_same_bounds_turn_it_off() {
        let asked = read(&[("type", "capacity"), ("min", "3"), ("max", "3")]).unwrap();
        assert!(asked.capacity.is_none() && asked.warnings.is_empty());
    }

    #[test]
    fn what_is_not_done_is_said() {
        for (labels, word) in [
            (vec![("type", "rps"), ("target", "5")], "rps is unsupported"),
            (vec![("type", "cpu")], "cpu is unsupported"),
            (vec![("target", "5")], "no effect without"),
            (vec![("zero-duration", "5m")], "no effect without"),
        ] {
            let asked = read(&labels).unwrap();
            assert!(asked.warnings[0].contains(word), "{:?}", asked.warnings);
            assert!(asked.capacity.is_none() && asked.idle_after.is_none());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let contradiction = read(&[("min", "3"), ("max", "2")]).unwrap_err();
        assert!(contradiction.contains("is 3") && contradiction.contains("is 2"));
        for (key, bad) in [
            ("min", "-1"),
            ("min", "many"),
            ("min", ""),
            ("min", "1.5"),
            ("max", "0"),
            ("max", "-2"),
            ("max", "99999999999999999999"),
            ("zero", "yes"),
            ("zero", ""),
            ("zero-duration", "soon"),
            ("zero-duration", "-5m"),
            ("zero-duration", "0"),
            ("zero-duration", ""),
            ("zero-duration", "15 minutes"),
            ("type", ""),
            ("target", "0"),
            ("target", "-1"),
            ("target", "ten"),
            ("target-proportion", "0"),
            ("target-proportion", "-0.5"),
            ("target-proportion", "NaN"),
            ("target-proportion", "inf"),
            ("target-proportion", "most"),
            ("down.window", "-1s"),
            ("down.window", "later"),
        ] {
            let said = read(&[
                (key, bad),
                ("type", if key == "type" { bad } else { "capacity" }),
            ])
            .unwrap_err();
            assert!(
                said.contains(&format!("com.openfaas.scale.{key}")),
                "{said}"
            );
            assert!(said.contains(&format!("{bad:?}")), "{said}");
        }
    }
}
