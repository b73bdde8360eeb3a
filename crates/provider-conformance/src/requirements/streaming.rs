//! Requirements of replies and bodies that come in pieces.

use crate::requirement::{Feature, Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-STR-001",
        Profile::Streaming,
        "A piece of the reply to a call with `Accept: text/event-stream` or `application/x-ndjson` MUST reach the caller before the function sends the next one.",
        "the gateway passes such replies on piece by piece",
    ),
    should(
        "OFP-STR-002",
        Profile::Streaming,
        "A piece of any reply SHOULD reach the caller before the function sends the next one, whatever the call's `Accept` says.",
        "faas-provider holds it back",
    ),
    should(
        "OFP-STR-003",
        Profile::Streaming,
        "The header of a reply SHOULD reach the caller before the first piece of its body does.",
        "our choice",
    ),
    should(
        "OFP-STR-004",
        Profile::Streaming,
        "A piece of the body of a call SHOULD reach the function before the caller sends the next one.",
        "our choice",
    ),
    should(
        "OFP-STR-005",
        Profile::Streaming,
        "A function SHOULD be able to answer piece by piece what it reads piece by piece.",
        "our choice",
    ),
    must(
        "OFP-STR-006",
        Profile::Streaming,
        "The end of a streamed reply MUST reach the caller when the function ends it.",
        "the gateway and faas-cli read to the end; RFC 9112 section 7.1",
    ),
    must(
        "OFP-STR-007",
        Profile::Streaming,
        "A streamed reply that breaks off MUST break off for the caller, also with `Accept: text/event-stream`.",
        "RFC 9112 section 8",
    ),
    should(
        "OFP-STR-008",
        Profile::Streaming,
        "When the caller of a stream leaves, the function SHOULD see its connection end.",
        "faas-provider: proxy/proxy.go",
    ),
    should(
        "OFP-STR-009",
        Profile::Streaming,
        "A caller that does not read SHOULD slow the function down, not fill the provider's memory.",
        "our choice",
    ),
    should(
        "OFP-STR-010",
        Profile::Streaming,
        "Trailers of a reply SHOULD reach the caller.",
        "RFC 9110 section 6.5.1",
    )
    .with(Feature::Trailers),
    should(
        "OFP-STR-011",
        Profile::Streaming,
        "Trailers of a call SHOULD reach the function.",
        "RFC 9110 section 6.5.1",
    )
    .with(Feature::Trailers),
    must(
        "OFP-STR-012",
        Profile::Streaming,
        "Pieces MUST reach the caller whole and in order, however many and however small.",
        "RFC 9112 section 7.1",
    ),
];
