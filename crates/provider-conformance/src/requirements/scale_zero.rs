//! Requirements of functions that have no replica.

use crate::requirement::{Feature, Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-ZER-001",
        Profile::ScaleZero,
        "`POST /system/scale-function/NAME` with `replicas` 0 MUST be answered with 200 or 202.",
        "go-sdk ScaleFunction",
    ),
    must(
        "OFP-ZER-002",
        Profile::ScaleZero,
        "A function at zero MUST still have a status, of 200, in which `replicas` and `availableReplicas` become 0 or absent.",
        "the gateway wakes a function by these",
    ),
    must(
        "OFP-ZER-003",
        Profile::ScaleZero,
        "A function at zero MUST stand in the list.",
        "faas-cli list",
    ),
    must(
        "OFP-ZER-004",
        Profile::ScaleZero,
        "A function at zero that is scaled to 1 MUST become available and answer calls.",
        "the gateway, scale from zero",
    ),
    must(
        "OFP-ZER-005",
        Profile::ScaleZero,
        "A call of a function at zero MUST be answered by the function, or with 500 to 599, never with success from anybody else.",
        "go-sdk: a call that succeeds came from a function; RFC 9110 section 15.6",
    ),
    must(
        "OFP-ZER-006",
        Profile::ScaleZero,
        "An update of a function at zero MUST be accepted, and show in its status.",
        "faas-cli deploy",
    ),
    should(
        "OFP-ZER-007",
        Profile::ScaleZero,
        "A call of a function at zero SHOULD start a replica and be answered by it.",
        "our choice",
    )
    .with(Feature::WakeOnCall),
    should(
        "OFP-ZER-008",
        Profile::ScaleZero,
        "Calls of a function at zero that come at the same time SHOULD all be answered by it, and start one replica.",
        "our choice",
    )
    .with(Feature::WakeOnCall),
];
