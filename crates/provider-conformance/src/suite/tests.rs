//! What judgements come to.

use std::collections::BTreeMap;

use time::{Date, Month};

use super::{Suite, SuiteBuilder, verdict};
use crate::declared::Declared;
use crate::report::{CaseReport, Judged, RequirementReport, Status, Verdict};
use crate::requirements::requirements;

const A_MUST: &str = "OFP-FUN-001";
const A_SHOULD: &str = "OFP-FUN-002";

fn case(name: &str, judged: BTreeMap<String, Judged>) -> CaseReport {
    CaseReport {
        name: name.to_owned(),
        status: judged.values().map(|one| one.status).max().unwrap(),
        duration_ms: 0,
        judged,
        stopped: None,
        retries: Vec::new(),
        notes: Vec::new(),
        exchanges: Vec::new(),
    }
}

fn judged(status: Status) -> Judged {
    Judged {
        status,
        reasons: vec!["seen".to_owned()],
    }
}

/// Weighs a run in which everything of `core` holds, except what is said here.
fn weigh(builder: SuiteBuilder, except: &[(&str, Status)]) -> (Vec<RequirementReport>, Verdict) {
    let suite: Suite = builder.build();
    let all = requirements().iter().map(|one| {
        let named = except.iter().find(|(id, _)| *id == one.id);
        let status = named.map_or(Status::Pass, |(_, status)| *status);
        (one.id.to_owned(), judged(status))
    });
    let cases = [case("all/of_them", all.collect())];
    let today = Date::from_calendar_date(2026, Month::November, 23).unwrap();
    let (weighed, _) = suite.weigh(&suite.declared, &cases, today);
    let comes_to = verdict(&weighed, &cases);
    (weighed, comes_to)
}

fn comes_to(builder: SuiteBuilder, except: &[(&str, Status)]) -> Verdict {
    weigh(builder, except).1
}

#[test]
fn all_that_is_declared_must_hold() {
    assert_eq!(comes_to(Suite::builder(), &[]), Verdict::Conformant);
    let failed = [(A_MUST, Status::Fail)];
    assert_eq!(comes_to(Suite::builder(), &failed), Verdict::NonConformant);
    let undeclared = [("OFP-SEC-001", Status::Fail)];
    assert_eq!(comes_to(Suite::builder(), &undeclared), Verdict::Conformant);
    let declared = Suite::builder().declared(Declared::all());
    assert_eq!(comes_to(declared, &undeclared), Verdict::NonConformant);
}

#[test]
fn a_should_never_decides() {
    let warned = [(A_SHOULD, Status::Warn)];
    assert_eq!(comes_to(Suite::builder(), &warned), Verdict::Conformant);
}

#[test]
fn what_was_not_judged_is_never_a_pass() {
    for status in [Status::Unreached, Status::Disabled] {
        let verdict = comes_to(Suite::builder(), &[(A_MUST, status)]);
        assert_eq!(verdict, Verdict::Partial, "{status}");
    }
    let skipped = Suite::builder().skip(A_MUST).unwrap();
    assert_eq!(comes_to(skipped, &[]), Verdict::Partial);
    // A fault that the user switched off is hidden, and the verdict says so.
    let hidden = Suite::builder().skip("FUN").unwrap();
    let verdict = comes_to(hidden, &[(A_MUST, Status::Fail)]);
    assert_eq!(verdict, Verdict::Partial);
}

#[test]
fn a_must_that_no_case_judges_makes_it_partial() {
    let suite = Suite::builder().build();
    let one = BTreeMap::from([(A_MUST.to_owned(), judged(Status::Pass))]);
    let cases = [case("one/alone", one)];
    let today = Date::from_calendar_date(2026, Month::November, 23).unwrap();
    let (weighed, _) = suite.weigh(&suite.declared, &cases, today);
    let uncovered = weighed.iter().find(|one| one.id == "OFP-FUN-005").unwrap();
    assert_eq!(uncovered.status, Status::Uncovered);
    assert_eq!(verdict(&weighed, &cases), Verdict::Partial);
}

#[test]
fn an_error_of_the_kit_is_no_verdict() {
    let except = [(A_MUST, Status::Error), (A_SHOULD, Status::Fail)];
    let verdict = comes_to(Suite::builder(), &except);
    assert_eq!(verdict, Verdict::Error);
    assert_eq!(verdict.exit_code(), 2);
}

#[test]
fn a_known_deviation_is_accepted_until_its_day() {
    let failed = [(A_MUST, Status::Fail)];
    let known = |until| {
        Suite::builder()
            .deviation(A_MUST, "issue 12", until)
            .unwrap()
    };
    let (weighed, verdict) = weigh(known("2026-11-23"), &failed);
    assert_eq!(verdict, Verdict::Conformant);
    let one = weighed.iter().find(|one| one.id == A_MUST).unwrap();
    assert_eq!(one.status, Status::KnownDeviation);
    assert!(one.reasons.iter().any(|why| why.contains("issue 12")));

    assert_eq!(
        comes_to(known("2026-11-22"), &failed),
        Verdict::NonConformant
    );
    // One that expired is a failure of a SHOULD too.
    let known = Suite::builder().deviation(A_SHOULD, "issue 13", "2026-11-22");
    let verdict = comes_to(known.unwrap(), &[(A_SHOULD, Status::Warn)]);
    assert_eq!(verdict, Verdict::NonConformant);
}

#[test]
fn what_cannot_apply_is_said_with_its_reason() {
    let exempt = Suite::builder().not_applicable(A_MUST, "it has none");
    let (weighed, verdict) = weigh(exempt.unwrap(), &[(A_MUST, Status::Fail)]);
    assert_eq!(verdict, Verdict::Conformant);
    let one = weighed.iter().find(|one| one.id == A_MUST).unwrap();
    assert_eq!((one.status, one.reasons.len()), (Status::NotApplicable, 1));
}

#[test]
fn a_builder_refuses_what_there_is_not() {
    let text = |error: super::SuiteError| error.to_string();
    let error = text(Suite::builder().declare("secret").unwrap_err());
    assert!(
        error.contains("\"secret\"") && error.contains("secrets"),
        "{error}"
    );
    assert!(text(Suite::builder().skip("FUNC").unwrap_err()).contains("FUNC"));
    assert!(text(Suite::builder().only("OFP-FUN-999").unwrap_err()).contains("OFP-FUN-999"));
    let bad = |id, reason, until| text(Suite::builder().deviation(id, reason, until).unwrap_err());
    assert!(bad("OFP-FUN-999", "x", "2026-01-01").contains("OFP-FUN-999"));
    assert!(bad(A_MUST, " ", "2026-01-01").contains("reason"));
    for date in ["", "tomorrow", "2026-13-01", "2026-02-30", "2026-1"] {
        assert!(bad(A_MUST, "x", date).contains("date"), "{date}");
    }
}
