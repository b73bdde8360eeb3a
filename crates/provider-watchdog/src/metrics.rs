//! The watchdog's series, in a registry of its own. of-watchdog: `metrics/http.go`.

use std::time::Duration;

use http::Method;
use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::gauge::Gauge;

/// The `Content-Type` of what [`Metrics::text`] gives.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The series, and the number of calls that go on.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    calls: Gauge,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(calls: Gauge) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let labels = ["code", "method"];
        let requests = IntCounterVec::new(
            Opts::new("http_requests_total", "total HTTP requests processed"),
            &labels,
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "http_request_duration_seconds",
                "Seconds spent serving HTTP requests.",
            ),
            &labels,
        )?;
        let in_flight = IntGauge::new("http_requests_in_flight", "total HTTP requests in-flight")?;
        let all: [Box<dyn Collector>; 3] = [
            Box::new(requests.clone()),
            Box::new(durations.clone()),
            Box::new(in_flight.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        Ok(Self {
            registry,
            requests,
            durations,
            in_flight,
            calls,
        })
    }

    pub(crate) fn observe(&self, method: &Method, code: u16, took: Duration) {
        let code = code.to_string();
        let labels = [code.as_str(), label(method)];
        self.requests.with_label_values(&labels).inc();
        self.durations
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.in_flight
            .set(i64::try_from(self.calls.count()).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// The label of a method, from a bounded set. Go: `promhttp`.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "CONNECT" => "connect",
        "OPTIONS" => "options",
        "TRACE" => "trace",
        _ => "unknown",
    }
}
