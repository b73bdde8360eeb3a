//! Requirements of `/system/info` and `/healthz`.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-INF-001",
        Profile::Core,
        "`GET /system/info` MUST be answered with 200 and a JSON object.",
        "the gateway merges it into its own; faas-cli version",
    ),
    must(
        "OFP-INF-002",
        Profile::Core,
        "The object MUST have a string `provider` that is not empty. Where clients talk to a gateway, or to a provider that is its own, `provider` is the provider's whole object.",
        "go-sdk: SystemInfo; faas-cli version prints it",
    ),
    must(
        "OFP-INF-003",
        Profile::Core,
        "The object MUST have an object `version` with the strings `release` and `sha`.",
        "faas-cli version ends abnormally where `version` is null",
    ),
    should(
        "OFP-INF-004",
        Profile::Core,
        "`release` and `sha` SHOULD NOT be empty.",
        "openfaas/certifier: info_test.go",
    ),
    must(
        "OFP-INF-005",
        Profile::Core,
        "The object MUST have a string `orchestration`.",
        "faas-cli version prints it",
    ),
    must(
        "OFP-INF-006",
        Profile::Core,
        "`GET /healthz` MUST be answered with 200 while the provider serves.",
        "faas-cli ready; the gateway passes its own checks on",
    ),
    should(
        "OFP-INF-007",
        Profile::Core,
        "`HEAD /healthz` SHOULD be answered as `GET` is, without a body.",
        "faas-provider: serve.go; checks of load balancers",
    ),
];
