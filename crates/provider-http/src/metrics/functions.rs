//! Series of each function, kept while the proxy reports its calls.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papaya::{Equivalent, HashMap};
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use provider_proxy::{Ended, Observer};
use provider_types::{FunctionName, FunctionRef, Namespace, Phases};
use rustc_hash::FxBuildHasher;

use super::cold_starts::ColdStarts;
use super::{gauge, histogram, made, register};
use crate::Role;

/// What stands for the status of a call whose caller left before there was one (as nginx counts).
const CALLER_LEFT: u16 = 499;

/// What the proxy tells of calls. Functions that do not exist are never reported, so labels are
/// bounded by what is deployed.
#[derive(Debug)]
pub(crate) struct CallObserver(pub(crate) Arc<FunctionMetrics>);

/// Counts calls of functions; the series of deleted functions are dropped.
///
/// What a call looks up is read without a lock. Only series that are made or dropped take one: with
/// the first call of a function, with its first reply of a status, and when it is deleted.
pub(crate) struct FunctionMetrics {
    invocations: IntCounterVec,
    in_flight: IntGaugeVec,
    seconds: HistogramVec,
    cold_starts: ColdStarts,
    gateway: Option<Gateway>,
    known: HashMap<FunctionRef, Arc<Series>, FxBuildHasher>,
    /// Held while series are made or dropped, so that none is made of a function that is gone.
    changing: Mutex<()>,
}

/// The gateway's series (`faas`: gateway, port 8082), for the standalone role.
struct Gateway {
    started: IntCounterVec,
    total: IntCounterVec,
    seconds: HistogramVec,
}

/// Handles on the series of one function, so that a call looks its names up once.
pub(crate) struct Series {
    function: FunctionRef,
    in_flight: IntGauge,
    seconds: Histogram,
    started: Option<IntCounter>,
    by_code: HashMap<u16, ByCode, FxBuildHasher>,
    /// The function was deleted; read and written by who holds [`FunctionMetrics::changing`].
    gone: AtomicBool,
}

struct ByCode {
    invocations: IntCounter,
    gateway: Option<(IntCounter, Histogram)>,
}

/// A function as it is looked up by its names alone. Hashes as [`FunctionRef`] does.
#[derive(Hash)]
struct Named<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Equivalent<FunctionRef> for Named<'_> {
    fn equivalent(&self, function: &FunctionRef) -> bool {
        function.name.as_str() == self.name && function.namespace.as_str() == self.namespace
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    made(IntCounterVec::new(Opts::new(name, help), labels))
}

impl FunctionMetrics {
    pub(super) fn new(registry: &Registry, role: Role) -> Self {
        let names = ["function", "namespace"];
        let metrics = Self {
            invocations: counter(
                "provider_function_invocations_total",
                "Calls of a function that have ended, by the status that the caller was given.",
                &["function", "namespace", "code"],
            ),
            in_flight: gauge(
                "provider_function_invocations_in_flight",
                "Calls of a function that have not ended.",
                &names,
            ),
            seconds: histogram(
                "provider_function_invocation_duration_seconds",
                "Seconds from the arrival of a call to its last byte.",
                &names,
            ),
            cold_starts: ColdStarts::new(registry),
            gateway: (role == Role::Standalone).then(|| Gateway {
                started: counter(
                    "gateway_function_invocation_started",
                    "The total number of function HTTP requests started.",
                    &["function_name"],
                ),
                total: counter(
                    "gateway_function_invocation_total",
                    "Function metrics.",
                    &["function_name", "code"],
                ),
                seconds: histogram(
                    "gateway_functions_seconds",
                    "Function time taken.",
                    &["function_name", "code"],
                ),
            }),
            known: HashMap::default(),
            changing: Mutex::default(),
        };
        register(registry, &metrics.invocations);
        register(registry, &metrics.in_flight);
        register(registry, &metrics.seconds);
        if let Some(gateway) = &metrics.gateway {
            register(registry, &gateway.started);
            register(registry, &gateway.total);
            register(registry, &gateway.seconds);
        }
        metrics
    }

    /// How many calls of a function have ended.
    pub(crate) fn invocations(&self, namespace: &str, name: &str) -> f64 {
        let function = Named { namespace, name };
        self.known.pin().get(&function).map_or(0.0, |series| {
            let codes = series.by_code.pin();
            let count: u64 = codes.values().map(|code| code.invocations.get()).sum();
            #[expect(
                clippy::cast_precision_loss,
                reason = "the wire has a float64 here, exact up to 2^53 calls"
            )]
            let count = count as f64;
            count
        })
    }

    /// Drops the series of a function that is gone.
    pub(crate) fn forget(&self, function: &FunctionRef) {
        let _changing = self.change();
        if let Some(series) = self.known.pin().remove(function) {
            series.gone.store(true, Ordering::Relaxed);
            self.remove(series);
        }
    }

    /// The functions of a namespace that have series and no call: those of them that are not there
    /// any more are to be forgotten.
    pub(crate) fn idle(&self, namespace: &Namespace) -> HashSet<FunctionName, FxBuildHasher> {
        let known = self.known.pin();
        let idle = known.iter().filter(|(function, series)| {
            function.namespace == *namespace && series.in_flight.get() == 0
        });
        idle.map(|(function, _)| function.name.clone()).collect()
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, series: &Series) {
        let (name, namespace) = (
            series.function.name.as_str(),
            series.function.namespace.as_str(),
        );
        let dotted = series.function.to_string();
        self.cold_starts.forget(&series.function);
        // What is not there cannot be removed, and need not be.
        let _ = self.in_flight.remove_label_values(&[name, namespace]);
        let _ = self.seconds.remove_label_values(&[name, namespace]);
        for code in series.by_code.pin().keys().map(u16::to_string) {
            let _ = self
                .invocations
                .remove_label_values(&[name, namespace, &code]);
            if let Some(gateway) = &self.gateway {
                let _ = gateway.total.remove_label_values(&[&dotted, &code]);
                let _ = gateway.seconds.remove_label_values(&[&dotted, &code]);
            }
        }
        if let Some(gateway) = &self.gateway {
            let _ = gateway.started.remove_label_values(&[&dotted]);
        }
    }

    fn series(&self, function: &FunctionRef) -> Arc<Series> {
        let known = self.known.pin();
        if let Some(series) = known.get(function) {
            return Arc::clone(series);
        }
        let _changing = self.change();
        let series = known.get_or_insert_with(function.clone(), || {
            let names = [function.name.as_str(), function.namespace.as_str()];
            let gateway = self.gateway.as_ref();
            Arc::new(Series {
                function: function.clone(),
                in_flight: self.in_flight.with_label_values(&names),
                seconds: self.seconds.with_label_values(&names),
                started: gateway
                    .map(|gateway| gateway.started.with_label_values(&[function.to_string()])),
                by_code: HashMap::default(),
                gone: AtomicBool::new(false),
            })
        });
        Arc::clone(series)
    }

    /// Counts the end of a call, but not one of a function that was deleted meanwhile.
    fn count(&self, series: &Series, code: u16, seconds: f64) {
        let codes = series.by_code.pin();
        let found = match codes.get(&code) {
            Some(found) => found,
            None => {
                let _changing = self.change();
                if series.gone.load(Ordering::Relaxed) {
                    return;
                }
                codes.get_or_insert_with(code, || self.by_code(&series.function, code))
            }
        };
        found.invocations.inc();
        if let Some((total, histogram)) = &found.gateway {
            total.inc();
            histogram.observe(seconds);
        }
    }

    /// Counts what a call waited for its function to start, but not of one that was deleted
    /// meanwhile.
    fn waited(&self, series: &Series, phases: &Phases) {
        if *phases != Phases::default() {
            let _changing = self.change();
            if !series.gone.load(Ordering::Relaxed) {
                self.cold_starts.count(&series.function, phases);
            }
        }
    }

    fn by_code(&self, function: &FunctionRef, code: u16) -> ByCode {
        let code = code.to_string();
        let labels = [
            function.name.as_str(),
            function.namespace.as_str(),
            code.as_str(),
        ];
        ByCode {
            invocations: self.invocations.with_label_values(&labels),
            gateway: self.gateway.as_ref().map(|gateway| {
                let labels = [&function.to_string(), &code];
                (
                    gateway.total.with_label_values(&labels),
                    gateway.seconds.with_label_values(&labels),
                )
            }),
        }
    }
}

impl Observer for CallObserver {
    type Call = Arc<Series>;

    fn started(&self, function: &FunctionRef) -> Arc<Series> {
        let series = self.0.series(function);
        series.in_flight.inc();
        if let Some(started) = &series.started {
            started.inc();
        }
        series
    }

    fn ended(&self, series: Arc<Series>, ended: &Ended) {
        series.in_flight.dec();
        let seconds = ended.duration.as_secs_f64();
        series.seconds.observe(seconds);
        self.0.waited(&series, &ended.phases);
        let code = ended.status.map_or(CALLER_LEFT, |status| status.as_u16());
        self.0.count(&series, code, seconds);
    }
}

impl fmt::Debug for FunctionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionMetrics").finish_non_exhaustive()
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}
