//! Requirements of `/system/secrets`.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-SEC-001",
        Profile::Secrets,
        "`POST /system/secrets` with a new name MUST be answered with 200, 201 or 202.",
        "faas-cli secret create, go-sdk CreateSecret",
    ),
    should(
        "OFP-SEC-002",
        Profile::Secrets,
        "It SHOULD be answered with 201.",
        "OpenAPI document of the gateway",
    ),
    must(
        "OFP-SEC-003",
        Profile::Secrets,
        "`GET /system/secrets` MUST be answered with 200 and a JSON array of objects with a string `name`, `[]` if there are none.",
        "go-sdk GetSecrets; faas-cli secret list",
    ),
    must(
        "OFP-SEC-004",
        Profile::Secrets,
        "A created secret MUST be listed, and a deleted one MUST NOT.",
        "faas-cli secret list and apply",
    ),
    should(
        "OFP-SEC-005",
        Profile::Secrets,
        "Every entry of the list SHOULD have its `namespace`.",
        "faas-cli secret apply compares it",
    ),
    should(
        "OFP-SEC-006",
        Profile::Secrets,
        "The list SHOULD be sorted by name.",
        "our choice: reproducible answers",
    ),
    must(
        "OFP-SEC-007",
        Profile::Hardening,
        "No answer of the API MUST ever hold the value of a secret: not the list, not a refusal, not the status of a function.",
        "faas-memory lists values",
    ),
    must(
        "OFP-SEC-008",
        Profile::Secrets,
        "A function that lists a secret MUST be able to read exactly its bytes: text, any bytes given in `rawValue`, 64 KiB of them.",
        "faas-cli secret create --from-file; of-watchdog functions read the file",
    ),
    must(
        "OFP-SEC-009",
        Profile::Secrets,
        "Where a request has both, `rawValue` MUST win over `value`.",
        "faas-cli secret create --from-file sends both, `value` trimmed",
    ),
    should(
        "OFP-SEC-010",
        Profile::Secrets,
        "An empty value SHOULD be kept, as an empty secret.",
        "faas-provider: types",
    ),
    must(
        "OFP-SEC-011",
        Profile::Secrets,
        "`POST` for a secret that exists MUST be answered with 409 and change nothing, or replace it and be answered with 200, 201 or 202.",
        "faas-cli secret create --replace, secret apply",
    ),
    should(
        "OFP-SEC-012",
        Profile::Secrets,
        "It SHOULD be answered with 409.",
        "faas-cli has a message for it",
    ),
    must(
        "OFP-SEC-013",
        Profile::Secrets,
        "`PUT /system/secrets` for a secret that exists MUST be answered with 200 or 202.",
        "faas-cli secret update takes nothing else, not 201",
    ),
    should(
        "OFP-SEC-014",
        Profile::Secrets,
        "`PUT` for one that does not exist SHOULD be answered with 404 and create nothing.",
        "faas-cli secret update has a message for it",
    ),
    must(
        "OFP-SEC-015",
        Profile::Secrets,
        "A function that is deployed or updated after a secret was changed MUST read the new value.",
        "faas-cli secret update, then deploy",
    ),
    must(
        "OFP-SEC-016",
        Profile::Secrets,
        "`DELETE /system/secrets` for a secret that exists MUST be answered with 200 or 202, not with 204.",
        "faas-cli secret remove",
    ),
    must(
        "OFP-SEC-017",
        Profile::Secrets,
        "`DELETE` for one that does not exist MUST be answered with 404.",
        "faas-cli secret remove and go-sdk tell it by that status; faasd answers 500",
    ),
    should(
        "OFP-SEC-018",
        Profile::Secrets,
        "A request without a name, or with a blank one, SHOULD be refused with 400.",
        "faasd; faas-netes answers 500",
    ),
    must(
        "OFP-SEC-019",
        Profile::Hardening,
        "A name that would leave the place of secrets (`../x`, `a/b`, `..`) MUST be refused with 400 to 499 on every verb, in `name` and in `namespace`, and change no secret.",
        "faasd checks neither on DELETE, nor the namespace ever",
    ),
    should(
        "OFP-SEC-020",
        Profile::Secrets,
        "A deployment or update that lists a secret that does not exist SHOULD be refused with 400, with the name in the text.",
        "faasd, faas-netes",
    ),
    should(
        "OFP-SEC-021",
        Profile::Secrets,
        "Of requests to create one secret at the same time, exactly one SHOULD be answered with success, where a provider refuses to create one that exists.",
        "our choice",
    ),
    should(
        "OFP-SEC-022",
        Profile::Secrets,
        "A function SHOULD NOT be able to read a secret that it does not list.",
        "our choice",
    ),
];
