//! Requirements of credentials.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-AUT-001",
        Profile::Auth,
        "Every route below `/system/` for functions, scaling, info, secrets and logs MUST answer 401 to a request without credentials, with each method that it has.",
        "faas-cli tells its user to log in by that status",
    ),
    must(
        "OFP-AUT-002",
        Profile::Auth,
        "An answer of 401 MUST have a `WWW-Authenticate` header.",
        "RFC 9110 section 15.5.2",
    ),
    should(
        "OFP-AUT-003",
        Profile::Auth,
        "It SHOULD be `Basic` with a realm.",
        "RFC 7617 section 2; faas-provider: auth/basic_auth.go",
    ),
    must(
        "OFP-AUT-004",
        Profile::Auth,
        "A wrong password, a wrong user, and both exchanged MUST be answered with 401.",
        "faas-cli login",
    ),
    must(
        "OFP-AUT-005",
        Profile::Auth,
        "`Authorization: Bearer` with an empty token MUST be answered with 401.",
        "faas-cli sends it before a login",
    ),
    must(
        "OFP-AUT-006",
        Profile::Auth,
        "`Authorization` that cannot be read MUST be answered with 401 or 400: no blank, bad base64, no colon.",
        "RFC 7617 section 2; RFC 9110 section 11.6",
    ),
    must(
        "OFP-AUT-007",
        Profile::Auth,
        "The name of the scheme MUST be compared in any case.",
        "RFC 9110 section 11.1",
    ),
    must(
        "OFP-AUT-008",
        Profile::Auth,
        "Right credentials MUST be accepted on every route.",
        "faas-cli login",
    ),
    must(
        "OFP-AUT-009",
        Profile::Auth,
        "`/function/` MUST be open to calls without credentials.",
        "the gateway sends none; faas-cli invoke",
    ),
    must(
        "OFP-AUT-010",
        Profile::Auth,
        "`/healthz` MUST be open to requests without credentials.",
        "faas-cli ready",
    ),
    should(
        "OFP-AUT-011",
        Profile::Auth,
        "`/metrics` SHOULD be open to requests without credentials.",
        "the Prometheus beside the gateway sends none",
    ),
    must(
        "OFP-AUT-012",
        Profile::Hardening,
        "The routes of namespaces MUST answer 401 to a request without credentials where the others do.",
        "faas-provider leaves them open to anybody",
    ),
    must(
        "OFP-AUT-013",
        Profile::Hardening,
        "A request that is answered with 401 MUST have changed nothing.",
        "our choice",
    ),
    must(
        "OFP-AUT-014",
        Profile::Hardening,
        "Empty credentials (`Basic Og==`) MUST be answered with 401.",
        "faas-provider takes them where its files are empty",
    ),
    must(
        "OFP-AUT-015",
        Profile::Hardening,
        "Another spelling of a path of the API (percent-encoding, doubled slashes, segments of dots, capitals, the absolute form) MUST NOT be answered with what the path tells without credentials.",
        "our choice",
    ),
];
