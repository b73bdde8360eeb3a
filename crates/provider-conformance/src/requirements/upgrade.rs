//! Requirements of connections that become something else.

use crate::requirement::{Feature, Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-UPG-001",
        Profile::Upgrade,
        "A call with `Upgrade: websocket` to which the function answers 101 MUST become a tunnel: what either side sends reaches the other unchanged.",
        "RFC 9110 section 7.8, RFC 6455 section 4",
    ),
    must(
        "OFP-UPG-002",
        Profile::Upgrade,
        "The reply of 101 MUST have `Upgrade` and `Connection: upgrade`, and the headers of the handshake (`Sec-WebSocket-*`) MUST pass in both directions.",
        "RFC 9110 section 7.8, RFC 6455 section 4.2.2",
    ),
    must(
        "OFP-UPG-003",
        Profile::Upgrade,
        "The names in `Upgrade` and `Connection` MUST be compared in any case.",
        "RFC 9110 section 7.8, RFC 6455 section 4.2.1",
    ),
    should(
        "OFP-UPG-004",
        Profile::Upgrade,
        "Any protocol that the function accepts SHOULD become a tunnel, not WebSocket only.",
        "RFC 9110 section 7.8",
    ),
    must(
        "OFP-UPG-005",
        Profile::Upgrade,
        "A reply other than 101 to a call with `Upgrade` MUST reach the caller as any reply does.",
        "RFC 9110 section 7.8",
    ),
    must(
        "OFP-UPG-006",
        Profile::Upgrade,
        "When one side closes the tunnel, the other MUST see the end after all that was sent.",
        "RFC 6455 section 7.1.1",
    ),
    should(
        "OFP-UPG-007",
        Profile::Upgrade,
        "What the caller sends right after its request, before the reply, SHOULD reach the function.",
        "our choice",
    ),
    should(
        "OFP-UPG-008",
        Profile::Upgrade,
        "A tunnel SHOULD live through silence that is longer than the time limit for a reply.",
        "our choice",
    )
    .with(Feature::ShortTimeout),
];
