//! Requirements of `/system/scale-function`.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-SCL-001",
        Profile::Core,
        "`POST /system/scale-function/NAME` with `replicas` 1 for a function that exists MUST be answered with 200 or 202.",
        "the gateway takes no other status",
    ),
    must(
        "OFP-SCL-002",
        Profile::Core,
        "The request MUST be taken without `namespace` in its body.",
        "the gateway leaves it out",
    ),
    must(
        "OFP-SCL-003",
        Profile::Core,
        "Scaling a function that does not exist MUST be answered with 404, and create nothing.",
        "go-sdk ScaleFunction tells it by that status",
    ),
    should(
        "OFP-SCL-004",
        Profile::Core,
        "The function in the path SHOULD be scaled, whatever `serviceName` says or lacks.",
        "faas-netes; OpenAPI document of the gateway",
    ),
    should(
        "OFP-SCL-005",
        Profile::Core,
        "`replicas` that is negative, a fraction or text SHOULD be answered with 400 and change nothing.",
        "Go encoding/json, as used by every provider in Go",
    ),
    should(
        "OFP-SCL-006",
        Profile::Core,
        "A number of replicas that the provider cannot run, such as 1000000000, SHOULD be refused with 400 to 499 and a text with the bound.",
        "our choice",
    ),
    must(
        "OFP-SCL-007",
        Profile::Scale,
        "After `replicas` N was accepted the status MUST say N in `replicas`.",
        "faas-cli and the gateway show it",
    ),
    should(
        "OFP-SCL-008",
        Profile::Scale,
        "It SHOULD say so from the moment that the request was answered.",
        "openfaas/certifier reads it at once",
    ),
    must(
        "OFP-SCL-009",
        Profile::Scale,
        "`availableReplicas` MUST become N, upwards and downwards.",
        "the gateway counts on it",
    ),
    should(
        "OFP-SCL-010",
        Profile::Scale,
        "Calls SHOULD reach all replicas.",
        "our choice",
    ),
    should(
        "OFP-SCL-011",
        Profile::Scale,
        "Scaling to the number that is wanted already SHOULD succeed and change nothing.",
        "faas-netes",
    ),
    should(
        "OFP-SCL-012",
        Profile::Scale,
        "Calls that run on a replica that is taken away SHOULD end undisturbed.",
        "our choice",
    ),
    should(
        "OFP-SCL-013",
        Profile::Scale,
        "A function SHOULD start with as many replicas as its label `com.openfaas.scale.min` says.",
        "faas-netes; the gateway scales up to it from zero",
    ),
    should(
        "OFP-SCL-014",
        Profile::Scale,
        "The number of replicas SHOULD survive an update of the function.",
        "faas-netes",
    ),
    should(
        "OFP-SCL-015",
        Profile::Scale,
        "Requests to scale one function at the same time SHOULD each be accepted, and end in the number of one of them.",
        "our choice",
    ),
];
