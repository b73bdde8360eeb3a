//! What is counted, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::answer::Answer;
use crate::defect::Defect;
use crate::state::Inner;

const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Requests to the API, by status, method and path.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<(u16, String, String), Series>>);

#[derive(Debug, Default)]
struct Series {
    count: u64,
    seconds: f64,
    within: [u64; BUCKETS.len()],
}

impl Metrics {
    pub(crate) fn count(&self, status: u16, method: &str, path: String, took: Duration) {
        // What is no method of HTTP would let anybody make series.
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
        let method = if known.contains(&method) {
            method
        } else {
            "other"
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry((status, method.to_owned(), path)).or_default();
        series.count += 1;
        series.seconds += took.as_secs_f64();
        for (bound, within) in BUCKETS.iter().zip(&mut series.within) {
            *within += u64::from(took.as_secs_f64() <= *bound);
        }
    }

    pub(crate) fn answer(&self, inner: &Inner) -> Answer {
        if inner.has(Defect::MetricsAreJson) {
            return Answer::json(200, &serde_json::json!({ "requests": 1 }));
        }
        Answer::of(
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            self.text(inner),
        )
    }

    fn text(&self, inner: &Inner) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = |(status, method, path): &(u16, String, String)| {
            format!("code=\"{status}\",method=\"{method}\",path=\"{path}\"")
        };
        let mut text = String::new();
        let name = "provider_http_requests_total";
        let _ = writeln!(
            text,
            "# HELP {name} Requests to the API.\n# TYPE {name} counter"
        );
        for (key, series) in all.iter().filter(|_| !inner.has(Defect::NoCounter)) {
            let times = if inner.has(Defect::SeriesTwice) { 2 } else { 1 };
            for _ in 0..times {
                let _ = writeln!(text, "{name}{{{}}} {}", labels(key), series.count);
            }
        }
        let name = "provider_http_request_duration_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} How long they took.\n# TYPE {name} histogram"
        );
        for (key, series) in all.iter().filter(|_| !inner.has(Defect::NoHistogram)) {
            let labels = labels(key);
            for (bound, within) in BUCKETS.iter().zip(series.within) {
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {within}");
            }
            let _ = writeln!(
                text,
                "{name}_bucket{{{labels},le=\"+Inf\"}} {}",
                series.count
            );
            let _ = writeln!(text, "{name}_sum{{{labels}}} {}", series.seconds);
            let _ = writeln!(text, "{name}_count{{{labels}}} {}", series.count);
        }
        text
    }
}
