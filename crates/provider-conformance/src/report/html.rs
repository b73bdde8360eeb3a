//! A report as one page of HTML that needs nothing else.

use std::fmt::Write as _;

use super::{CaseReport, Report, RequirementReport, Status, Verdict};
use crate::requirements::{Area, areas};
use crate::wire::{Direction, Exchange};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// What the reader can choose to see.
const CHOICES: [(&str, &[Status]); 5] = [
    ("does not hold", &[Status::Fail, Status::Error]),
    ("warnings", &[Status::Warn, Status::KnownDeviation]),
    (
        "not judged",
        &[Status::Disabled, Status::Unreached, Status::Uncovered],
    ),
    ("holds", &[Status::Pass]),
    ("does not apply", &[Status::Skip, Status::NotApplicable]),
];

impl Report {
    /// The report as a page of HTML, with all that it needs in itself.
    #[must_use]
    pub fn html(&self) -> String {
        let mut out = String::new();
        let title = escaped(&format!("{}: {}", self.target.provider, self.verdict));
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        );
        self.head(&mut out);
        self.overview(&mut out);
        self.tools(&mut out);
        for area in areas() {
            self.area(&mut out, area);
        }
        self.retries(&mut out);
        self.notes_and_end(&mut out);
        let _ = write!(
            out,
            "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
        );
        out
    }

    fn head(&self, out: &mut String) {
        let tone = match self.verdict {
            Verdict::Conformant => "pass",
            Verdict::Partial => "warn",
            Verdict::NonConformant | Verdict::Error => "fail",
        };
        let target = &self.target;
        let name = if target.provider.is_empty() {
            "a provider"
        } else {
            &target.provider
        };
        let _ = write!(
            out,
            "<div class=\"eyebrow\">Conformance to the OpenFaaS provider API</div>\n\
             <h1>{} <span class=\"soft\">{}</span></h1>\n\
             <div class=\"card verdict {tone}\">\n<span class=\"word\">{}</span>\n<p>{}.</p>\n<dl>\n",
            escaped(name),
            escaped(&target.release),
            self.verdict,
            escaped(&self.why()),
        );
        let declared: Vec<String> = self
            .declared
            .names_declared()
            .iter()
            .map(|name| format!("<span class=\"chip\">{name}</span>"))
            .collect();
        let said_by = match self.declared_by.as_str() {
            "file" => "in a declaration",
            "flags" => "by flags",
            _ => "as it seems to have",
        };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
        let seconds = self.duration_ms as f64 / 1000.0;
        let role = match target.role {
            crate::target::Role::Provider => "provider",
            crate::target::Role::Gateway => "gateway",
        };
        let rows = [
            ("Target", format!("{} ({role})", escaped(&target.url))),
            ("Orchestration", escaped(&target.orchestration)),
            (
                "Declared",
                format!(
                    "{} <span class=\"soft\">{}</span>",
                    declared.concat(),
                    said_by
                ),
            ),
            (
                "Test function",
                format!("<code>{}</code>", escaped(&target.workload)),
            ),
            (
                "Run",
                format!(
                    "{} · {seconds:.1} s · {} cases",
                    escaped(&self.started),
                    self.cases.len()
                ),
            ),
        ];
        for (term, text) in rows {
            let _ = writeln!(out, "<dt>{term}</dt><dd>{text}</dd>");
        }
        out.push_str("</dl>\n</div>\n");
    }

    fn overview(&self, out: &mut String) {
        out.push_str("<h2>By chapter</h2>\n<div class=\"areas\">\n");
        for area in areas() {
            let of_area: Vec<_> = self.of(area).collect();
            let mut bars = String::new();
            let mut counts = Vec::new();
            for status in Status::WORST_FIRST {
                let count = of_area.iter().filter(|one| one.status == status).count();
                if count > 0 {
                    let _ = write!(bars, "<i class=\"{status}\" style=\"flex:{count}\"></i>");
                    counts.push(format!("{count} {status}"));
                }
            }
            let _ = writeln!(
                out,
                "<a class=\"card area\" href=\"#{code}\"><b>{title} <span>{code}</span></b>\
                 <div class=\"bar\">{bars}</div><small>{}</small></a>",
                counts.join(" · "),
                code = area.code,
                title = area.title,
            );
        }
        out.push_str("</div>\n");
    }

    fn tools(&self, out: &mut String) {
        let _ = write!(
            out,
            "<h2>Requirements</h2>\n<div class=\"tools\">\n\
             <button data-show=\"all\" aria-pressed=\"true\">all {}</button>\n",
            self.requirements.len()
        );
        for (label, statuses) in CHOICES {
            let wanted = |one: &&RequirementReport| statuses.contains(&one.status);
            let count = self.requirements.iter().filter(wanted).count();
            if let (Some(first), 1..) = (statuses.first(), count) {
                let names: Vec<&str> = statuses.iter().map(|status| status.name()).collect();
                let _ = writeln!(
                    out,
                    "<button data-show=\"{}\" aria-pressed=\"false\"><span class=\"dot {first}\">\
                     </span>{label} {count}</button>",
                    names.join(" ")
                );
            }
        }
        out.push_str(
            "<input id=\"search\" type=\"search\" placeholder=\"Search\" aria-label=\"Search\">\n</div>\n",
        );
    }

    fn of(&self, area: &Area) -> impl Iterator<Item = &RequirementReport> {
        let start = format!("OFP-{}-", area.code);
        self.requirements
            .iter()
            .filter(move |one| one.id.starts_with(&start))
    }

    fn area(&self, out: &mut String, area: &Area) {
        let _ = write!(
            out,
            "<section data-area id=\"{}\">\n<h2>{} <small>{}</small></h2>\n<div class=\"card rows\">\n",
            area.code, area.title, area.code
        );
        for one in self.of(area) {
            self.row(out, one);
        }
        out.push_str("</div>\n</section>\n");
    }

    fn row(&self, out: &mut String, one: &RequirementReport) {
        let open = if one.status == Status::Fail {
            " open"
        } else {
            ""
        };
        let _ = write!(
            out,
            "<details class=\"row {status}\" data-status=\"{status}\" id=\"{id}\"{open}>\n<summary>\
             <span class=\"dot\"></span><span class=\"id\">{id}</span>\
             <span class=\"level\">{level}</span><span class=\"text\">{text}</span>\
             <span class=\"status\">{status}</span></summary>\n<div class=\"inside\">\n\
             <p class=\"soft\">Source: {source}</p>\n",
            status = one.status,
            id = one.id,
            level = one.level,
            text = marked(&one.text),
            source = marked(&one.source),
        );
        for reason in &one.reasons {
            let _ = writeln!(out, "<p class=\"reason\">{}</p>", escaped(reason));
        }
        for name in &one.cases {
            let Some(case) = self.cases.iter().find(|case| case.name == *name) else {
                continue;
            };
            let judged = case.judged.get(&one.id).map(|judged| judged.status);
            let _ = writeln!(
                out,
                "<p class=\"soft\"><span class=\"dot {}\"></span>{} · {} ms</p>",
                judged.map_or("skip", Status::name),
                escaped(name),
                case.duration_ms
            );
            match case.shown_at() {
                Some(id) if id == one.id => transcript(out, case),
                Some(id) if judged.is_some_and(|status| status >= Status::Warn) => {
                    let _ = writeln!(
                        out,
                        "<p class=\"soft\">What went over the wire is at <a href=\"#{id}\">{id}</a>.</p>"
                    );
                }
                _ => {}
            }
        }
        out.push_str("</div>\n</details>\n");
    }

    fn retries(&self, out: &mut String) {
        let mut rows = String::new();
        for case in &self.cases {
            for retry in &case.retries {
                let came = if retry.came { "yes" } else { "no" };
                let _ = writeln!(
                    rows,
                    "<tr><td>{}</td><td>{}</td><td>{came}</td><td class=\"number\">{}</td>\
                     <td class=\"number\">{} ms</td></tr>",
                    escaped(&case.name),
                    escaped(&retry.what),
                    retry.tries,
                    retry.ms
                );
            }
        }
        if !rows.is_empty() {
            let _ = write!(
                out,
                "<h2>Not at the first try <small>what cases had to wait for</small></h2>\n\
                 <div class=\"card rows\"><table>\n<tr><th>Case</th><th>Waited for</th>\
                 <th>Came</th><th>Tries</th><th>Time</th></tr>\n{rows}</table></div>\n"
            );
        }
    }

    fn notes_and_end(&self, out: &mut String) {
        let of_cases = self.cases.iter().flat_map(|case| {
            let name = &case.name;
            case.notes.iter().map(move |note| format!("{name}: {note}"))
        });
        let notes: Vec<String> = self.notes.iter().cloned().chain(of_cases).collect();
        if !notes.is_empty() {
            out.push_str("<h2>Notes</h2>\n<ul>\n");
            for note in notes {
                let _ = writeln!(out, "<li>{}</li>", escaped(&note));
            }
            out.push_str("</ul>\n");
        }
        let _ = writeln!(
            out,
            "<footer>Written by provider-conformance {} from a report of the form {}. There is no \
             score: a provider keeps to what it declares, or it does not.<br>{}</footer>",
            escaped(&self.kit),
            escaped(&self.schema),
            escaped(&self.digest)
        );
    }
}

fn transcript(out: &mut String, case: &CaseReport) {
    if case.exchanges.is_empty() {
        return;
    }
    let count = case.exchanges.len();
    let connections = if count == 1 {
        "connection"
    } else {
        "connections"
    };
    let _ = writeln!(
        out,
        "<details><summary>What went over the wire, {count} {connections}</summary>"
    );
    for exchange in &case.exchanges {
        let _ = writeln!(out, "<pre>{}</pre>", said(exchange));
    }
    out.push_str("</details>\n");
}

fn said(exchange: &Exchange) -> String {
    let mut out = String::new();
    for said in &exchange.said {
        let class = match said.direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
            Direction::Event => "event",
        };
        let _ = writeln!(
            out,
            "<span class=\"event\">{} ms, {class}{}</span>\n<span class=\"{class}\">{}</span>",
            said.at_ms,
            match said.direction {
                Direction::Event => String::new(),
                Direction::Sent | Direction::Received => format!(" {} bytes", said.bytes),
            },
            escaped(said.text.trim_end())
        );
    }
    out
}

/// Text with what stands between backticks as code.
fn marked(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in escaped(text).split('`').enumerate() {
        let _ = match index % 2 {
            0 => write!(out, "{part}"),
            _ => write!(out, "<code>{part}</code>"),
        };
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
