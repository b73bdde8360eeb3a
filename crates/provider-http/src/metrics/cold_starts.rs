//! How long calls waited for functions to start, phase by phase.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, Registry};
use provider_types::{FunctionRef, Phases};

use super::{made, register};

/// From a program that is there in a millisecond to an image that has to be fetched.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The phases, as they are called in the series.
const PHASES: [&str; 3] = ["wake", "start", "ready"];

/// The waits of calls that found no replica of their function.
pub(super) struct ColdStarts(HistogramVec);

impl ColdStarts {
    pub(super) fn new(registry: &Registry) -> Self {
        let opts = HistogramOpts::new(
            "provider_function_cold_start_seconds",
            "Seconds that a call which found no replica waited: for the wish to wake the function to \
             be taken, for an instance to be started, for it to be ready.",
        );
        let labels = ["function", "namespace", "phase"];
        let series = made(HistogramVec::new(opts.buckets(BUCKETS.to_vec()), &labels));
        register(registry, &series);
        Self(series)
    }

    /// Counts the wait of a call, if it had one.
    pub(super) fn count(&self, function: &FunctionRef, phases: &Phases) {
        if phases.woken + phases.started == Duration::ZERO {
            return;
        }
        let starting = phases.started.saturating_sub(phases.readied);
        for (phase, took) in PHASES.iter().zip([phases.woken, starting, phases.readied]) {
            let labels = [function.name.as_str(), function.namespace.as_str(), phase];
            self.0
                .with_label_values(&labels)
                .observe(took.as_secs_f64());
        }
    }

    /// Drops the series of a function that is gone.
    pub(super) fn forget(&self, function: &FunctionRef) {
        for phase in PHASES {
            let labels = [function.name.as_str(), function.namespace.as_str(), phase];
            // What is not there cannot be removed, and need not be.
            let _ = self.0.remove_label_values(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use provider_types::Namespace;

    use super::*;

    /// The sum of each phase, in milliseconds.
    fn sums(registry: &Registry) -> Vec<(String, f64)> {
        let families = registry.gather();
        let series = families
            .iter()
            .flat_map(prometheus::proto::MetricFamily::get_metric);
        series
            .map(|one| {
                let phase = one.get_label().iter().find(|label| label.name() == "phase");
                let sum = one.get_histogram().get_sample_sum();
                (phase.unwrap().value().to_owned(), (sum * 1e3).round())
            })
            .collect()
    }

    #[test]
    fn a_cold_start_is_told_by_its_phases_and_a_warm_call_is_none() {
        let registry = Registry::new();
        let cold = ColdStarts::new(&registry);
        let f = FunctionRef::parse_dotted("f", &Namespace::default()).unwrap();
        let mut queued = Phases::default();
        queued.queued = Duration::from_secs(1);
        cold.count(&f, &queued);
        assert!(sums(&registry).is_empty());

        let mut phases = Phases::default();
        phases.woken = Duration::from_millis(2);
        phases.started = Duration::from_millis(70);
        phases.readied = Duration::from_millis(40);
        cold.count(&f, &phases);
        let told = [("ready", 40.0), ("start", 30.0), ("wake", 2.0)];
        assert_eq!(
            sums(&registry),
            told.map(|(phase, ms)| (phase.to_owned(), ms))
        );

        cold.forget(&f);
        assert!(sums(&registry).is_empty());
    }
}
