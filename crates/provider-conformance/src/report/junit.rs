//! `junit.xml`, for the pages of CI systems: a test for each requirement.

use std::fmt::Write as _;

use super::{Report, RequirementReport, Status};
use crate::requirements::areas;

impl Report {
    /// The report as JUnit XML.
    ///
    /// A SHOULD that does not hold passes, with what was seen as its output, for JUnit knows no
    /// warning. Whatever was not judged is skipped, with the reason.
    #[must_use]
    pub fn junit(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
        counted(
            &mut out,
            "provider-conformance",
            &self.requirements.iter().collect::<Vec<_>>(),
        );
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
        let seconds = self.duration_ms as f64 / 1000.0;
        let _ = writeln!(out, " time=\"{seconds:.3}\">");
        for area in areas() {
            let start = format!("OFP-{}-", area.code);
            let of_area = self.requirements.iter();
            let of_area: Vec<_> = of_area.filter(|one| one.id.starts_with(&start)).collect();
            out.push_str("  <testsuite");
            counted(&mut out, area.title, &of_area);
            let _ = writeln!(out, " timestamp=\"{}\">", self.started);
            for one in of_area {
                test(&mut out, area.code, one);
            }
            out.push_str("  </testsuite>\n");
        }
        out.push_str("</testsuites>\n");
        out
    }
}

fn counted(out: &mut String, name: &str, of: &[&RequirementReport]) {
    let count = |wanted: fn(Status) -> bool| of.iter().filter(|one| wanted(one.status)).count();
    let _ = write!(
        out,
        " name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        escaped(name),
        of.len(),
        count(|status| status == Status::Fail),
        count(|status| status == Status::Error),
        count(is_skipped),
    );
}

fn is_skipped(status: Status) -> bool {
    matches!(
        status,
        Status::Skip
            | Status::Disabled
            | Status::NotApplicable
            | Status::Uncovered
            | Status::Unreached
            | Status::KnownDeviation
    )
}

fn test(out: &mut String, area: &str, one: &RequirementReport) {
    let _ = write!(
        out,
        "    <testcase classname=\"provider-conformance.{area}\" name=\"{} {}\"",
        one.id,
        escaped(&one.text)
    );
    let why = escaped(&one.reasons.join("\n"));
    let (status, cases) = (one.status, escaped(&one.cases.join(" ")));
    let _ = match status {
        Status::Pass => writeln!(out, "/>"),
        Status::Warn => writeln!(out, "><system-out>{why}\n{cases}</system-out></testcase>"),
        Status::Fail => {
            let text = "does not hold";
            writeln!(
                out,
                "><failure message=\"{text}\">{why}\n{cases}</failure></testcase>"
            )
        }
        Status::Error => {
            let text = "the kit failed";
            writeln!(
                out,
                "><error message=\"{text}\">{why}\n{cases}</error></testcase>"
            )
        }
        _ => writeln!(out, "><skipped message=\"{status}: {why}\"/></testcase>"),
    };
}

/// Text for XML; characters that XML does not have become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            letter => out.push(letter),
        }
    }
    out
}
