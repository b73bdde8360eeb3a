//! Requirements of `/system/logs`.

use crate::requirement::{Profile, Requirement, must, should};

pub(super) const ALL: &[Requirement] = &[
    must(
        "OFP-LOG-001",
        Profile::Logs,
        "`GET /system/logs?name=NAME` for a function that exists MUST be answered with 200 and a stream of JSON objects, one for each line of the function.",
        "faas-cli logs, go-sdk GetLogs",
    ),
    must(
        "OFP-LOG-002",
        Profile::Logs,
        "Each object MUST have the string `text` and in `timestamp` an RFC 3339 time; `name`, `namespace` and `instance` MUST be strings where they are there.",
        "faas-cli logs stops at an object that it cannot read",
    ),
    must(
        "OFP-LOG-003",
        Profile::Logs,
        "`text` MUST be what the function wrote, and lines of one instance MUST keep their order.",
        "faas-cli logs",
    ),
    must(
        "OFP-LOG-004",
        Profile::Logs,
        "`name` MUST be that of the function.",
        "faas-cli logs --name",
    ),
    should(
        "OFP-LOG-005",
        Profile::Logs,
        "`text` SHOULD be without the newline that ended the line.",
        "faas-provider: logs; faas-netes leaves it in",
    ),
    should(
        "OFP-LOG-006",
        Profile::Logs,
        "`namespace` SHOULD be that of the function, and `instance` name the replica that wrote the line.",
        "faas-netes leaves `namespace` empty",
    ),
    should(
        "OFP-LOG-007",
        Profile::Logs,
        "`timestamp` SHOULD be when the line was written, not more than 10 s off.",
        "our choice",
    ),
    should(
        "OFP-LOG-008",
        Profile::Logs,
        "Lines of both standard output and standard error SHOULD be there.",
        "of-watchdog",
    ),
    must(
        "OFP-LOG-009",
        Profile::Logs,
        "`tail=N` MUST give at most the last N lines of a function with one replica, and `tail=-1` all.",
        "faas-cli logs --tail; it sends -1 by default",
    ),
    should(
        "OFP-LOG-010",
        Profile::Logs,
        "`tail=N` SHOULD count over all replicas together.",
        "faas-netes counts for each",
    ),
    must(
        "OFP-LOG-011",
        Profile::Logs,
        "`since` MUST be read as an RFC 3339 time with any offset, and leave out lines that were written before it.",
        "faas-cli logs --since sends the local offset",
    ),
    must(
        "OFP-LOG-012",
        Profile::Logs,
        "With `follow=true` or `follow=1` the answer MUST go on with new lines as they are written.",
        "faas-cli logs, go-sdk GetLogs",
    ),
    must(
        "OFP-LOG-013",
        Profile::Logs,
        "Without `follow`, and with `follow=false` or `follow=0`, the answer MUST end after the lines that there are.",
        "go-sdk GetLogs; faas-cli logs --follow=false",
    ),
    should(
        "OFP-LOG-014",
        Profile::Logs,
        "The header of the answer SHOULD come before the first line does.",
        "faas-provider: logs/handler.go",
    ),
    should(
        "OFP-LOG-015",
        Profile::Logs,
        "The answer SHOULD have `Content-Type: application/x-ndjson`, with one object on each line.",
        "faas-provider: logs/handler.go",
    ),
    should(
        "OFP-LOG-016",
        Profile::Logs,
        "A `tail` that is no number and a `since` that is no time SHOULD be refused with 400 or 422.",
        "faas-provider: logs/handler.go",
    ),
    should(
        "OFP-LOG-017",
        Profile::Logs,
        "A request without `name` SHOULD be refused with 400.",
        "our choice",
    ),
    should(
        "OFP-LOG-018",
        Profile::Logs,
        "Logs of a function that does not exist SHOULD be refused with 404.",
        "our choice; the gateway makes 501 of it",
    ),
    should(
        "OFP-LOG-019",
        Profile::Logs,
        "`instance=ID` SHOULD leave out the lines of other replicas.",
        "faas-cli logs --instance",
    ),
    should(
        "OFP-LOG-020",
        Profile::Logs,
        "Lines that are not UTF-8, or that hold control characters, SHOULD neither end the stream nor hide other lines.",
        "faasd ends the stream at the first of them",
    ),
    should(
        "OFP-LOG-021",
        Profile::Logs,
        "A line of 256 KiB SHOULD neither end the stream nor stop the function.",
        "faasd stops at 64 KiB, and the function with it",
    ),
    should(
        "OFP-LOG-022",
        Profile::Logs,
        "An answer that ends SHOULD end as HTTP messages do, not with a connection that breaks.",
        "RFC 9112 section 8",
    ),
    should(
        "OFP-LOG-023",
        Profile::Logs,
        "A function without a running replica SHOULD still have the lines that it wrote.",
        "our choice",
    ),
];
