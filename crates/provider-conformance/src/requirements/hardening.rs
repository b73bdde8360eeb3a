//! Requirements that keep hostile input from doing harm.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-HRD-001",
        Profile::Hardening,
        "A request with both `Transfer-Encoding` and `Content-Length` MUST be refused, with 400 to 599 or without an answer, and its connection closed, or be read by its chunks alone and its connection closed after.",
        "RFC 9112 section 6.1",
    ),
    must(
        "OFP-HRD-002",
        Profile::Hardening,
        "A request with two different lengths, in one header or in two, or with a length that is no number, MUST be refused with 400 and its connection closed.",
        "RFC 9112 section 6.3",
    ),
    must(
        "OFP-HRD-003",
        Profile::Hardening,
        "A request with a `Transfer-Encoding` other than `chunked`, or one that hides it (a blank before the colon, a tab, another case with more behind it, `chunked` twice), MUST NOT be read as if it had none.",
        "RFC 9112 sections 6.1 and 5.1",
    ),
    must(
        "OFP-HRD-004",
        Profile::Hardening,
        "What follows, on its connection, a request that was refused because of its length, its `Transfer-Encoding` or a header line that is none, MUST NOT be run.",
        "RFC 9112 sections 2.2 and 6.3",
    ),
    must(
        "OFP-HRD-005",
        Profile::Hardening,
        "A request of HTTP/1.1 without `Host`, or with two, MUST be refused with 400.",
        "RFC 9112 section 3.2",
    ),
    must(
        "OFP-HRD-006",
        Profile::Hardening,
        "A blank between the name of a header and its colon MUST be refused with 400.",
        "RFC 9112 section 5.1",
    ),
    must(
        "OFP-HRD-007",
        Profile::Hardening,
        "A header line that goes on in the next line (obs-fold) MUST be refused with 400, or be read with blanks in place of the fold.",
        "RFC 9112 section 5.2",
    ),
    must(
        "OFP-HRD-008",
        Profile::Hardening,
        "A carriage return or a NUL within the value of a header MUST be refused, or be replaced by a blank before it reaches a function. A line feed alone may be taken for the end of a line.",
        "RFC 9110 section 5.5; RFC 9112 section 2.2",
    ),
    must(
        "OFP-HRD-009",
        Profile::Hardening,
        "A chunk whose size is no hexadecimal number, too large for any number, or not followed by a line end MUST break the call off: the function never sees its body as complete.",
        "RFC 9112 section 7.1",
    ),
    must(
        "OFP-HRD-010",
        Profile::Hardening,
        "A body that ends before its stated length MUST NOT reach the function as complete.",
        "RFC 9112 section 8",
    ),
    must(
        "OFP-HRD-011",
        Profile::Hardening,
        "A request target with a blank, a control character or a bad percent-encoding in it MUST NOT be taken for another one: the request is refused with 400 to 499 or 505, redirected to the same target well encoded, or its connection closed; or it reaches the function with that target, or with the same one well encoded.",
        "RFC 9112 section 3",
    ),
    must(
        "OFP-HRD-012",
        Profile::Hardening,
        "A request line of another major version of HTTP, and bytes that are no request, MUST be refused or the connection closed.",
        "RFC 9110 section 2.5",
    ),
    must(
        "OFP-HRD-013",
        Profile::Hardening,
        "Segments of dots in a path below `/function/`, encoded or not, MUST NOT lead out of the function that was named: not to the API, not to another function.",
        "our choice",
    ),
    should(
        "OFP-HRD-014",
        Profile::Hardening,
        "A header block of 64 KiB SHOULD be taken; 10,000 headers, or 4 MiB of them, SHOULD be refused with 431 or a close.",
        "our choice; RFC 6585 section 5",
    ),
    should(
        "OFP-HRD-015",
        Profile::Hardening,
        "A request whose header does not come to its end SHOULD be cut off within 30 s.",
        "our choice; faas-provider waits for ever where its read timeout is off",
    ),
    should(
        "OFP-HRD-016",
        Profile::Hardening,
        "A body of 64 MiB to the API SHOULD be refused with 413 or a close, chunked or not.",
        "our choice; no provider in Go has a bound",
    ),
    must(
        "OFP-HRD-017",
        Profile::Hardening,
        "A reply of the function with two different lengths MUST be answered with 502, or break off for the caller.",
        "RFC 9112 section 6.3",
    ),
    must(
        "OFP-HRD-018",
        Profile::Hardening,
        "A reply of the function MUST NOT be able to become two for the caller: with both `Transfer-Encoding` and `Content-Length`, with bytes after its end, with line feeds in its headers.",
        "RFC 9112 sections 6.1 and 11.1",
    ),
    should(
        "OFP-HRD-019",
        Profile::Hardening,
        "No text of a refusal SHOULD hold a path of the host, a trace of calls, or the value of a secret.",
        "faasd shows paths",
    ),
    should(
        "OFP-HRD-020",
        Profile::Hardening,
        "The environment of the provider SHOULD NOT reach functions.",
        "our choice",
    ),
    should(
        "OFP-HRD-021",
        Profile::Hardening,
        "`/function/NAME.NAMESPACE` SHOULD reach nothing that is not a function, whatever the namespace.",
        "faasd and faas-netes reach services of the platform",
    ),
    must(
        "OFP-HRD-022",
        Profile::Hardening,
        "After hostile input the provider MUST still serve others.",
        "our choice",
    ),
    should(
        "OFP-HRD-023",
        Profile::Hardening,
        "JSON that is nested 100,000 deep SHOULD be refused with 400 to 499.",
        "our choice; Go stops at 10,000",
    ),
];
