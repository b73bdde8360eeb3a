//! A report for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{CaseReport, Report, RequirementReport, Status, Verdict};
use crate::context::Retry;
use crate::requirement::Level;
use crate::requirements::areas;
use crate::wire::{Direction, Exchange};

/// So many requirements that were not judged for one reason are named; more are counted.
const NAMED: usize = 4;
/// So many cases that had to wait for the same are named, the slowest first.
const WAITED: usize = 3;
/// So many connections of a case are shown from its beginning, and so many from its end.
const CONNECTIONS: (usize, usize) = (2, 6);
/// So much of a line, and so many lines of what one side said; the other forms have all of it.
const LINE: usize = 400;
const LINES: usize = 60;

/// Letters for a terminal that shows colours, or none.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// With colours or without.
    #[must_use]
    pub fn new(colours: bool) -> Self {
        Self(colours)
    }

    fn put(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn status(self, status: Status) -> String {
        self.put(colour(status), status.name())
    }
}

fn colour(status: Status) -> &'static str {
    match status {
        Status::Error | Status::Fail => "1;31",
        Status::Warn | Status::KnownDeviation | Status::Unreached | Status::Disabled => "33",
        Status::Pass => "32",
        Status::Uncovered | Status::Skip | Status::NotApplicable => "2",
    }
}

impl Report {
    /// The report as text: what did not hold with all that is known of it, then counts, then the
    /// verdict.
    #[must_use]
    pub fn console(&self, paint: Paint) -> String {
        let mut out = String::new();
        for status in Status::WORST_FIRST {
            if status < Status::Warn {
                continue;
            }
            for one in self.with_status(status) {
                self.requirement_text(&mut out, one, paint);
            }
        }
        self.unjudged(&mut out, paint);
        self.retries_text(&mut out);
        self.notes_text(&mut out);
        self.counts(&mut out, paint);
        self.verdict_text(&mut out, paint);
        out
    }

    fn requirement_text(&self, out: &mut String, one: &RequirementReport, paint: Paint) {
        let status = paint.status(one.status);
        let _ = writeln!(out, "\n{} {status}  {}", paint.put("1", &one.id), one.text);
        for reason in &one.reasons {
            let _ = writeln!(out, "    {}", indented(reason));
        }
        let _ = writeln!(out, "    source: {}", one.source);
        let shows = |case: &&CaseReport| {
            let judged = case.judged.get(&one.id);
            judged.is_some_and(|judged| judged.status >= Status::Warn)
        };
        for case in self.cases.iter().filter(shows) {
            let _ = writeln!(out, "    in {}", case.name);
            match case.shown_at() {
                // Those of a SHOULD are in the other forms of the report.
                _ if one.level == Level::Should => {}
                Some(id) if id == one.id => transcript(out, &case.exchanges, paint),
                Some(id) => {
                    let _ = writeln!(out, "      its bytes are at {id}");
                }
                None => {}
            }
        }
    }

    fn unjudged(&self, out: &mut String, paint: Paint) {
        let mut alike: Vec<(Status, &str, Vec<&RequirementReport>)> = Vec::new();
        for status in [Status::Unreached, Status::Disabled, Status::Uncovered] {
            for one in self.with_status(status) {
                let reason = one.reasons.first().map_or("", |reason| reason.trim_end());
                let same =
                    |(its, why, _): &&mut (Status, &str, _)| (*its, *why) == (status, reason);
                match alike.iter_mut().find(same) {
                    Some((_, _, all)) => all.push(one),
                    None => alike.push((status, reason, vec![one])),
                }
            }
        }
        if !alike.is_empty() {
            let _ = writeln!(out, "\nNot judged:");
        }
        for (status, reason, all) in alike {
            let status = paint.status(status);
            let reason = cut(reason);
            if all.len() > NAMED {
                let musts = all.iter().filter(|one| one.level == Level::Must).count();
                let count = all.len();
                let _ = writeln!(
                    out,
                    "    {count} requirements, {musts} of them MUSTs, {status}: {reason}"
                );
                continue;
            }
            for one in all {
                let _ = writeln!(out, "    {} {:<6} {status}: {reason}", one.id, one.level);
            }
        }
    }

    /// What did not come at once: a line for each such thing, with the cases that waited longest.
    fn retries_text(&self, out: &mut String) {
        let mut alike: BTreeMap<(bool, &str), Vec<(&CaseReport, &Retry)>> = BTreeMap::new();
        for case in &self.cases {
            for retry in &case.retries {
                let same = alike.entry((retry.came, &retry.what)).or_default();
                same.push((case, retry));
            }
        }
        if !alike.is_empty() {
            let _ = writeln!(out, "\nNot at the first try:");
        }
        for ((came, what), mut all) in alike {
            all.sort_by_key(|(_, retry)| std::cmp::Reverse(retry.ms));
            let mut names: Vec<&str> = Vec::new();
            for (case, _) in &all {
                if !names.contains(&case.name.as_str()) {
                    names.push(&case.name);
                }
            }
            let more = names.len().saturating_sub(WAITED);
            let mut cases = names
                .into_iter()
                .take(WAITED)
                .collect::<Vec<_>>()
                .join(", ");
            if more > 0 {
                let _ = write!(cases, " and {more} more");
            }
            let (came, most) = (if came { "came" } else { "did not come" }, all.first());
            let (tries, ms) = most.map_or((0, 0), |(_, retry)| (retry.tries, retry.ms));
            let times = match all.len() {
                1 => String::new(),
                count => format!(" {count} times, the slowest"),
            };
            let _ = writeln!(
                out,
                "    {what}: {came}{times} after {tries} tries, {ms} ms: {cases}"
            );
        }
    }

    /// What may be left behind is counted where it is much.
    fn notes_text(&self, out: &mut String) {
        let left: Vec<&String> = self
            .notes
            .iter()
            .filter(|note| note.contains(" may be left behind: "))
            .collect();
        let fold = left.len() > NAMED;
        for note in &self.notes {
            if !(fold && left.contains(&note)) {
                let _ = writeln!(out, "note: {}", cut(note));
            }
        }
        if let (true, Some(first)) = (fold, left.first()) {
            let more = left.len() - 1;
            let _ = writeln!(
                out,
                "note: {}, and {more} more; `sweep` removes them later",
                cut(first)
            );
        }
    }

    fn counts(&self, out: &mut String, paint: Paint) {
        let _ = writeln!(out);
        for area in areas() {
            let of_area = || {
                let start = format!("OFP-{}-", area.code);
                self.requirements
                    .iter()
                    .filter(move |one| one.id.starts_with(&start))
            };
            let mut counts = Vec::new();
            for status in Status::WORST_FIRST {
                let count = of_area().filter(|one| one.status == status).count();
                if count > 0 {
                    counts.push(format!("{count} {}", paint.status(status)));
                }
            }
            let _ = writeln!(
                out,
                "  {}  {:<28} {}",
                area.code,
                area.title,
                counts.join(", ")
            );
        }
    }

    fn verdict_text(&self, out: &mut String, paint: Paint) {
        let names: Vec<&str> = self.declared.names_declared();
        let _ = writeln!(
            out,
            "\n{} {} at {}, {}: {}",
            self.target.provider,
            self.target.release,
            self.target.url,
            match self.declared_by.as_str() {
                "discovered" => "which seems to have",
                _ => "declared to have",
            },
            names.join(" ")
        );
        let verdict = match self.verdict {
            Verdict::Conformant => paint.put("1;32", self.verdict.name()),
            Verdict::Partial => paint.put("1;33", self.verdict.name()),
            Verdict::NonConformant | Verdict::Error => paint.put("1;31", self.verdict.name()),
        };
        let _ = writeln!(out, "{verdict}: {}, {} ms", self.why(), self.duration_ms);
    }

    /// What the verdict rests on, in a phrase.
    #[must_use]
    pub fn why(&self) -> String {
        let musts = |status| {
            self.with_status(status)
                .filter(|one| one.level == Level::Must)
                .count()
        };
        let known = self.with_status(Status::KnownDeviation).count();
        let known = match known {
            0 => String::new(),
            1 => ", with 1 known deviation".to_owned(),
            count => format!(", with {count} known deviations"),
        };
        match self.verdict {
            Verdict::Conformant => {
                format!("each of {} MUSTs holds{known}", musts(Status::Pass))
            }
            Verdict::Partial => format!(
                "{} MUSTs hold, {} were switched off, {} not reached, {} not covered{known}",
                musts(Status::Pass),
                musts(Status::Disabled),
                musts(Status::Unreached),
                musts(Status::Uncovered),
            ),
            Verdict::NonConformant => {
                let failed = self.with_status(Status::Fail);
                let ids: Vec<&str> = failed.map(|one| one.id.as_str()).collect();
                let verb = if ids.len() == 1 { "does" } else { "do" };
                format!("{} {verb} not hold{known}", ids.join(", "))
            }
            Verdict::Error => "the kit failed".to_owned(),
        }
    }
}

fn transcript(out: &mut String, exchanges: &[Exchange], paint: Paint) {
    let (first, last) = CONNECTIONS;
    let end = exchanges.len().saturating_sub(last);
    for (number, exchange) in exchanges.iter().enumerate() {
        // Where there is but one between, it is shown.
        if number == first && end > first + 1 {
            let text = format!("connections {} to {end}: see report.json", first + 1);
            let _ = writeln!(out, "      {}", paint.put("2", &text));
        }
        if number >= first && number < end && end > first + 1 {
            continue;
        }
        let _ = writeln!(out, "      connection {}", number + 1);
        for said in &exchange.said {
            let (mark, code) = match said.direction {
                Direction::Sent => (">", "36"),
                Direction::Received => ("<", "0"),
                Direction::Event => ("-", "2"),
            };
            let text = said.text.trim_end();
            for line in text.lines().take(LINES) {
                let line = paint.put(code, &format!("{mark} {}", cut(line)));
                let _ = writeln!(out, "        {line}");
            }
            let more = text.lines().count().saturating_sub(LINES);
            if more > 0 {
                let text = format!("{more} lines more: see report.json");
                let _ = writeln!(out, "        {}", paint.put("2", &text));
            }
        }
    }
}

/// So much of a line as a terminal can do with.
fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE) {
        Some((end, _)) => {
            let (shown, rest) = line.split_at(end);
            format!("{shown}… {} characters more", rest.chars().count())
        }
        None => line.to_owned(),
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}
