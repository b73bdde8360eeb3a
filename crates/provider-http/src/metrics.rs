//! What `/metrics` shows: the Go SDK's series, ours for each function, and in the standalone role
//! the gateway's. One registry a server.

mod cold_starts;
mod functions;
mod logs;
mod process;
mod text;
mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{
    CounterVec, DEFAULT_BUCKETS, HistogramOpts, HistogramVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use provider_types::{FunctionUsageReading, LogReading};

use crate::Role;
pub(crate) use functions::{CallObserver, FunctionMetrics};

/// How old the replica counts of [`Metrics::services`] may get before they are asked for again,
/// as often as a gateway asks.
const SERVICES_FRESH: Duration = Duration::from_secs(5);

/// The series of one server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: CounterVec,
    seconds: HistogramVec,
    functions: Arc<FunctionMetrics>,
    /// `gateway_service_count`, in the standalone role, and when it was filled.
    services: Option<(IntGaugeVec, tokio::sync::Mutex<Option<Instant>>)>,
}

impl Metrics {
    pub(crate) fn new(role: Role) -> Self {
        let registry = Registry::new();
        let labels = ["code", "method", "path"];
        let requests = counter(
            "provider_http_requests_total",
            "Total number of HTTP requests.",
            &labels,
        );
        let seconds = histogram(
            "provider_http_request_duration_seconds",
            "Seconds spent serving HTTP requests.",
            &labels,
        );
        register(&registry, &requests);
        register(&registry, &seconds);
        let services = (role == Role::Standalone).then(|| {
            let replicas = gauge(
                "gateway_service_count",
                "Current count of replicas for a function.",
                &["function_name"],
            );
            register(&registry, &replicas);
            (replicas, tokio::sync::Mutex::new(None))
        });
        let functions = Arc::new(FunctionMetrics::new(&registry, role));
        Self {
            registry,
            requests,
            seconds,
            functions,
            services,
        }
    }

    pub(crate) fn functions(&self) -> &Arc<FunctionMetrics> {
        &self.functions
    }

    pub(crate) fn system_call(
        &self,
        code: StatusCode,
        method: &Method,
        path: &str,
        took: Duration,
    ) {
        let labels = [code.as_str(), method.as_str(), path];
        self.requests.with_label_values(&labels).inc();
        self.seconds
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    /// Brings `gateway_service_count` up to date, asking `replicas` for every function's name and
    /// its wanted replicas unless that was done a moment ago. Does nothing in the provider role.
    pub(crate) async fn refresh_services<F>(&self, replicas: F)
    where
        F: Future<Output = Option<Vec<(String, u64)>>>,
    {
        let Some((gauge, filled)) = &self.services else {
            return;
        };
        let mut filled = filled.lock().await;
        if filled.is_some_and(|when| when.elapsed() < SERVICES_FRESH) {
            return;
        }
        if let Some(functions) = replicas.await {
            gauge.reset();
            for (name, replicas) in functions {
                let replicas = i64::try_from(replicas).unwrap_or(i64::MAX);
                gauge.with_label_values(&[name]).set(replicas);
            }
        }
        *filled = Some(Instant::now());
    }

    /// All series in Prometheus's text form, with what functions use right now and what is kept of
    /// their log lines.
    pub(crate) fn text(&self, usage: &[FunctionUsageReading], logs: Option<&LogReading>) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        usage::write(&mut text, usage);
        if let Some(logs) = logs {
            logs::write(&mut text, logs);
        }
        process::write(&mut text);
        text
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> CounterVec {
    made(CounterVec::new(Opts::new(name, help), labels))
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    made(IntGaugeVec::new(Opts::new(name, help), labels))
}

fn histogram(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(DEFAULT_BUCKETS.to_vec());
    made(HistogramVec::new(opts, labels))
}

#[expect(
    clippy::expect_used,
    reason = "the names are constants of this module and its tests build them all"
)]
fn made<T>(series: Result<T, prometheus::Error>) -> T {
    series.expect("the names and labels of a series are valid")
}

fn register(registry: &Registry, series: &(impl Collector + Clone + 'static)) {
    made(registry.register(Box::new(series.clone())));
}
