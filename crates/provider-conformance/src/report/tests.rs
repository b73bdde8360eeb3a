//! Reports as they are written, and read again.

use std::collections::BTreeMap;

use time::{Date, Month};

use super::{CaseReport, Judged, Paint, Report, SCHEMA, Status, TargetReport};
use crate::context::Retry;
use crate::suite::{Suite, verdict};
use crate::target::Role;
use crate::wire::Recorder;

/// A report of one case, in which one MUST fails, with text that means something in HTML and XML.
fn sample() -> Report {
    let suite = Suite::builder().build();
    let nasty = "<script>alert(1)</script> & \"\u{1}\"\nsecond line";
    let judged = |status, reasons: &[&str]| Judged {
        status,
        reasons: reasons.iter().map(|one| (*one).to_owned()).collect(),
    };
    let recorder = Recorder::new();
    recorder.sample(b"GET / HTTP/1.1\r\nAuthorization: Basic abcd\r\n\r\n<b>");
    let case = CaseReport {
        name: "functions/one".to_owned(),
        status: Status::Fail,
        duration_ms: 3,
        judged: BTreeMap::from([
            ("OFP-FUN-001".to_owned(), judged(Status::Fail, &[nasty])),
            (
                "OFP-FUN-002".to_owned(),
                judged(Status::Warn, &["a warning"]),
            ),
            ("OFP-FUN-003".to_owned(), judged(Status::Pass, &[])),
        ]),
        stopped: None,
        retries: vec![Retry {
            what: "a <thing>".to_owned(),
            tries: 3,
            ms: 20,
            came: true,
        }],
        notes: vec!["a <note>".to_owned()],
        exchanges: recorder.exchanges(),
    };
    let cases = vec![case];
    let today = Date::from_calendar_date(2026, Month::November, 23).unwrap();
    let (requirements, notes) = suite.weigh(&suite.declared, &cases, today);
    let report = Report {
        schema: SCHEMA.to_owned(),
        kit: env!("CARGO_PKG_VERSION").to_owned(),
        verdict: verdict(&requirements, &cases),
        target: TargetReport {
            url: "http://127.0.0.1:8080".to_owned(),
            role: Role::Provider,
            provider: "<example>".to_owned(),
            release: "1".to_owned(),
            orchestration: "none".to_owned(),
            workload: "function".to_owned(),
        },
        started: "2026-11-23T00:00:00Z".to_owned(),
        duration_ms: 1234,
        declared: suite.declared.clone(),
        declared_by: "flags".to_owned(),
        requirements,
        cases,
        notes,
        digest: String::new(),
    };
    Report::from_json(&report.to_json()).unwrap()
}

#[test]
fn a_report_that_was_written_is_read_and_verified() {
    let report = sample();
    assert_eq!(report.verify(), Ok(()));
    assert_eq!(Report::from_json(&report.to_json()).unwrap(), report);
}

#[test]
fn an_edited_report_is_found_out() {
    let wrong = |edit: fn(&mut Report), hint: &str| {
        let mut report = sample();
        edit(&mut report);
        let found = report.verify().unwrap_err();
        assert!(found.iter().any(|one| one.contains("digest")), "{found:?}");
        // Whoever edits can also write the digest anew.
        let again = Report::from_json(&report.to_json()).unwrap();
        let found = again.verify().unwrap_err();
        assert!(
            found.iter().any(|one| one.contains(hint)),
            "{hint}: {found:?}"
        );
    };
    wrong(
        |report| report.verdict = super::Verdict::Conformant,
        "comes to",
    );
    wrong(
        |report| drop(report.requirements.remove(3)),
        "OFP-GEN-004 is missing",
    );
    wrong(
        |report| {
            for one in &mut report.requirements {
                if one.status == Status::Fail {
                    one.status = Status::Pass;
                }
            }
            report.verdict = super::Verdict::Partial;
        },
        "OFP-FUN-001 is pass and its cases come to fail",
    );
    wrong(
        |report| report.requirements[0].text.push('!'),
        "not the specification's",
    );
    wrong(
        |report| report.requirements[0].status = Status::Pass,
        "OFP-GEN-001",
    );
}

#[test]
fn what_is_no_report_is_refused() {
    for text in ["", "{}", "[]", "{\"schema\":\"provider-conformance/1\"}"] {
        assert!(Report::from_json(text).is_err(), "{text}");
    }
    let newer = sample().to_json().replace(SCHEMA, "provider-conformance/2");
    let error = Report::from_json(&newer).unwrap_err().to_string();
    assert!(error.contains("provider-conformance/2"), "{error}");
}

#[test]
fn the_page_needs_nothing_else_and_runs_nothing_of_the_provider() {
    let html = sample().html();
    for outside in ["src=", "<link", "@import", "url(", "https://"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(!html.contains("<script>alert"), "a reason is escaped");
    for raw in ["<example>", "<thing>", "<note>", "<b>\n"] {
        assert!(!html.contains(raw), "{raw}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(html.contains("id=\"OFP-FUN-001\"") && html.contains("non-conformant"));
}

#[test]
fn no_form_of_the_report_shows_credentials() {
    let report = sample();
    let console = report.console(Paint::new(false));
    for text in [report.to_json(), report.html(), report.junit(), console] {
        assert!(!text.contains("abcd"), "{text}");
    }
}

#[test]
fn junit_has_a_test_for_each_requirement_and_counts_them() {
    let report = sample();
    let junit = report.junit();
    assert_eq!(
        junit.matches("<testcase ").count(),
        report.requirements.len()
    );
    assert_eq!(junit.matches("<failure ").count(), 1);
    assert!(junit.contains(&format!(
        "tests=\"{}\" failures=\"1\" errors=\"0\"",
        report.requirements.len()
    )));
    assert!(junit.contains("&lt;script&gt;") && !junit.contains('\u{1}'));
    // What was not judged is skipped, never a pass.
    let unjudged = report
        .requirements
        .iter()
        .filter(|one| matches!(one.status, Status::Skip | Status::Uncovered));
    assert_eq!(junit.matches("<skipped ").count(), unjudged.count());
}

#[test]
fn the_console_shows_bytes_where_something_fails() {
    let console = sample().console(Paint::new(false));
    assert!(console.contains("OFP-FUN-001 fail"), "{console}");
    assert!(console.contains("> GET / HTTP/1.1"), "{console}");
    assert!(console.contains("after 3 tries"), "{console}");
    assert!(
        console.ends_with("non-conformant: OFP-FUN-001 does not hold, 1234 ms\n"),
        "{console}"
    );
}

#[test]
fn what_was_not_asked_for_is_one_line() {
    let mut report = sample();
    for one in &mut report.requirements {
        if one.status == Status::Uncovered {
            one.status = Status::Disabled;
            one.reasons = vec!["not among what was asked for".to_owned()];
        }
    }
    let of = report.with_status(Status::Disabled).count();
    let console = report.console(Paint::new(false));
    let lines = console.lines().filter(|line| line.contains("not among"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{console}");
    let count = format!("    {of} requirements, ");
    assert!(lines[0].starts_with(&count), "{console}");
}

#[test]
fn cases_that_waited_for_the_same_share_a_line() {
    let mut report = sample();
    let slowest = Retry {
        what: "a <thing>".to_owned(),
        tries: 9,
        ms: 900,
        came: true,
    };
    let mut other = report.cases[0].clone();
    other.name = "functions/other".to_owned();
    other.retries = vec![slowest];
    report.cases.push(other);
    let console = report.console(Paint::new(false));
    let line = "    a <thing>: came 2 times, the slowest after 9 tries, 900 ms: \
                functions/other, functions/one\n";
    assert!(console.contains(line), "{console}");
}

#[test]
fn the_console_shows_the_ends_of_what_is_long() {
    let mut report = sample();
    let one = report.cases[0].exchanges[0].clone();
    report.cases[0].exchanges = vec![one; 40];
    report.cases[0].exchanges[39].said[0].text = "x".repeat(5_000);
    let console = report.console(Paint::new(false));
    assert!(
        console.contains("connections 3 to 34: see report.json"),
        "{console}"
    );
    let shown: Vec<&str> = console
        .lines()
        .filter(|line| line.starts_with("      connection "))
        .collect();
    assert_eq!(shown.len(), 8, "{console}");
    assert!(console.contains("x… 4600 characters more"), "{console}");
}
