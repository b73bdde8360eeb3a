//! `SPEC.md`, from the registry and a chapter of prose for each area.

use std::fmt::Write as _;

use crate::gateway::ITS_OWN_WAY;
use crate::requirement::{Feature, Profile};
use crate::requirements::areas;

const INTRODUCTION: &str = include_str!("../spec/introduction.md");

const GATEWAY: &str = "
### Through a gateway

These requirements are those of a provider's own port. Where a provider is checked through a gateway \
they are not applicable, because the gateway does what they are about its own way, whatever the \
provider does. Everything else holds for both together.

| Requirement | Why |
| --- | --- |
";

/// The chapter of an area from its title on, without its requirements.
fn prose(code: &str) -> &'static str {
    match code {
        "GEN" => include_str!("../spec/general.md"),
        "INF" => include_str!("../spec/info.md"),
        "FUN" => include_str!("../spec/functions.md"),
        "INV" => include_str!("../spec/invoke.md"),
        "STR" => include_str!("../spec/streaming.md"),
        "UPG" => include_str!("../spec/upgrade.md"),
        "SCL" => include_str!("../spec/scale.md"),
        "ZER" => include_str!("../spec/scale-zero.md"),
        "SEC" => include_str!("../spec/secrets.md"),
        "NAM" => include_str!("../spec/namespaces.md"),
        "LOG" => include_str!("../spec/logs.md"),
        "AUT" => include_str!("../spec/auth.md"),
        "MET" => include_str!("../spec/metrics.md"),
        "HRD" => include_str!("../spec/hardening.md"),
        _ => "",
    }
}

/// The specification as Markdown: `SPEC.md`.
#[must_use]
pub fn specification() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = INTRODUCTION.replace("{version}", version);
    out.push_str("\n### Profiles\n\n| Profile | A provider that declares it |\n| --- | --- |\n");
    for profile in Profile::ALL {
        let _ = writeln!(out, "| `{profile}` | {} |", profile.about());
    }
    out.push_str("\n### Features\n\n| Feature | A provider that declares it |\n| --- | --- |\n");
    for feature in Feature::ALL {
        let _ = writeln!(out, "| `{feature}` | {} |", feature.about());
    }
    out.push_str(GATEWAY);
    for (id, reason) in ITS_OWN_WAY {
        let _ = writeln!(out, "| {id} | {reason} |");
    }
    out.push_str("\n## Contents\n\n");
    for (index, area) in areas().iter().enumerate() {
        let anchor = area.title.to_lowercase().replace(' ', "-");
        let number = index + 1;
        let _ = writeln!(
            out,
            "{number}. [{}](#{number}-{anchor}) (`{}`)",
            area.title, area.code
        );
    }
    for (index, area) in areas().iter().enumerate() {
        let number = index + 1;
        let chapter = prose(area.code).trim_start_matches("# ");
        let _ = write!(out, "\n## {number} {chapter}\n### Requirements\n\n");
        for one in area.requirements {
            let mut needs = Vec::new();
            if Some(one.profile) != area.profile && one.profile != Profile::Core {
                needs.push(format!("profile `{}`", one.profile));
            }
            if let Some(feature) = one.feature {
                needs.push(format!("feature `{feature}`"));
            }
            let needs = match needs.is_empty() {
                true => String::new(),
                false => format!(" [{}]", needs.join(", ")),
            };
            let _ = writeln!(
                out,
                "**{}**{needs} {}  \n*Since {}. Source: {}.*\n",
                one.id, one.text, one.since, one.source
            );
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{areas, prose, specification};

    #[test]
    fn a_chapter_has_the_title_of_its_area() {
        for area in areas() {
            let title = format!("# {}\n", area.title);
            assert!(prose(area.code).starts_with(&title), "{}", area.code);
        }
    }

    #[test]
    fn the_file_at_the_root_is_what_would_be_written_now() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../SPEC.md");
        let have = std::fs::read_to_string(root).unwrap();
        assert!(
            have == specification(),
            "SPEC.md is stale: cargo xtask conformance --spec writes it anew"
        );
    }
}
