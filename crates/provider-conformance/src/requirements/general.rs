//! Requirements of the API as a whole.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-GEN-001",
        Profile::Core,
        "A provider MUST take the body of any request to its API with `Transfer-Encoding: chunked`, on every method, `DELETE` included.",
        "the gateway forwards every body chunked; RFC 9112 section 7.1",
    ),
    must(
        "OFP-GEN-002",
        Profile::Core,
        "A provider MUST read a JSON body whether or not the request has a `Content-Type`.",
        "the gateway sends none when it scales a function",
    ),
    must(
        "OFP-GEN-003",
        Profile::Core,
        "A provider MUST ignore members of a JSON body that it does not know.",
        "older faas-cli and the gateway's web page send `network` and `registryAuth`",
    ),
    must(
        "OFP-GEN-004",
        Profile::Core,
        "A provider MUST read `null` for `labels`, `annotations` and any other optional member of a deployment as if the member were absent.",
        "go-sdk writes `null` for a map that was not set (FunctionDeployment.Labels)",
    ),
    must(
        "OFP-GEN-005",
        Profile::Core,
        "A provider MUST answer a body that is not JSON, or whose members have the wrong type, with a status of 400 to 499, and change nothing.",
        "RFC 9110 section 15.5: the client has erred, faas-cli prints what the answer says",
    ),
    should(
        "OFP-GEN-006",
        Profile::Core,
        "The status of such a refusal SHOULD be 400.",
        "OpenAPI document of the gateway",
    ),
    should(
        "OFP-GEN-007",
        Profile::Core,
        "An empty body where JSON is needed, and data after the JSON value, SHOULD be answered with 400.",
        "Go encoding/json, as used by every provider in Go",
    ),
    should(
        "OFP-GEN-008",
        Profile::Core,
        "The names of JSON members SHOULD match in any ASCII case, and the last of several equal ones counts.",
        "Go encoding/json, as used by every provider in Go",
    ),
    should(
        "OFP-GEN-009",
        Profile::Core,
        "The body of a refusal of the API SHOULD be one line of plain text that ends with a newline, with `Content-Type: text/plain` and `X-Content-Type-Options: nosniff`.",
        "faas-provider: http.Error; faas-cli prints the body as it is",
    ),
    should(
        "OFP-GEN-010",
        Profile::Core,
        "The text of a refusal SHOULD say what was wrong with the request, in 1 to 500 characters.",
        "our choice: faas-cli shows nothing else to its user",
    ),
    must(
        "OFP-GEN-011",
        Profile::Core,
        "A path that the API does not have MUST be answered with 404, and credentials that are right do not change that.",
        "RFC 9110 section 15.5.5; the gateway takes 404 for \"this provider has no namespaces\"",
    ),
    must(
        "OFP-GEN-012",
        Profile::Core,
        "A method that a path of the API does not have MUST be answered with 405 or 501.",
        "RFC 9110 section 15.5.6 and 15.6.2",
    ),
    should(
        "OFP-GEN-013",
        Profile::Core,
        "An answer of 405 SHOULD have an `Allow` header that lists the methods of the path.",
        "RFC 9110 section 15.5.6 asks for it; faas-provider does not send it and no client reads it",
    ),
    must(
        "OFP-GEN-014",
        Profile::Core,
        "A provider MUST ignore keys of a query that it does not know.",
        "faas-cli and the gateway add `usage`, and others in time",
    ),
    should(
        "OFP-GEN-015",
        Profile::Core,
        "An answer that is JSON SHOULD have `Content-Type: application/json`.",
        "OpenAPI document of the gateway",
    ),
    must(
        "OFP-GEN-016",
        Profile::Core,
        "Every answer MUST be a whole and valid HTTP/1.1 message: a status line, well-formed header lines, and a body of exactly the length that its header states.",
        "RFC 9112 sections 2 to 7",
    ),
    must(
        "OFP-GEN-017",
        Profile::Core,
        "Requests that came over one connection, also several at once, MUST be answered in their order, each with its own answer.",
        "RFC 9112 section 9.3.2; the gateway keeps its connections",
    ),
    must(
        "OFP-GEN-018",
        Profile::Core,
        "A provider MUST take a request target in absolute form (`GET http://host/system/info HTTP/1.1`) like one in origin form.",
        "RFC 9112 section 3.2.2",
    ),
    should(
        "OFP-GEN-019",
        Profile::Core,
        "A provider SHOULD take bodies of at least 256 KiB on every route of its API.",
        "our choice: large environments and certificates as secrets",
    ),
    must(
        "OFP-GEN-020",
        Profile::Core,
        "A request with `Expect: 100-continue` MUST be answered with `100 Continue` or with a final status before its body is sent.",
        "RFC 9110 section 10.1.1",
    ),
    must(
        "OFP-GEN-021",
        Profile::Core,
        "JSON answers MUST be UTF-8, and strings in them MUST come back as they were sent, whatever characters are in them.",
        "RFC 8259 section 8.1; faas-cli compares names and labels",
    ),
];
