//! Requirements of `/metrics`.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-MET-001",
        Profile::Metrics,
        "`GET /metrics` MUST be answered with 200 and the text format of Prometheus, with its `Content-Type`: every line is a comment or a sample, and no series is there twice.",
        "the Prometheus beside the gateway scrapes it; RFC 9110 section 8.3",
    ),
    should(
        "OFP-MET-002",
        Profile::Metrics,
        "The counter `provider_http_requests_total` SHOULD grow by one for each request to the API, with the labels `code`, `method` and `path`.",
        "faas-provider: metrics.go",
    ),
    should(
        "OFP-MET-003",
        Profile::Metrics,
        "The histogram `provider_http_request_duration_seconds` SHOULD do so too.",
        "faas-provider: metrics.go",
    ),
    should(
        "OFP-MET-004",
        Profile::Metrics,
        "Requests that are answered with 401 SHOULD be counted.",
        "faas-provider: metrics.go",
    ),
    should(
        "OFP-MET-005",
        Profile::Metrics,
        "Calls of functions SHOULD NOT be counted in `provider_http_requests_total`.",
        "faas-provider: serve.go",
    ),
    should(
        "OFP-MET-006",
        Profile::Metrics,
        "Names of functions and namespaces in a path SHOULD NOT make series of their own.",
        "faas-provider makes one for each namespace that anybody asks for",
    ),
];
