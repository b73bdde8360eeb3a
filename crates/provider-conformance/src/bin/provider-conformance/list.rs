//! `list`.

use std::fmt::Write as _;

use provider_conformance::{Feature, Profile, cases, requirements};

/// The list, a line for each.
pub(crate) fn list(what: &str) -> String {
    let mut out = String::new();
    match what {
        "profiles" => {
            for profile in Profile::ALL {
                let _ = writeln!(out, "{:<16} {}", profile.name(), profile.about());
            }
            out.push('\n');
            for feature in Feature::ALL {
                let _ = writeln!(out, "{:<16} {}", feature.name(), feature.about());
            }
        }
        "cases" => {
            for case in cases() {
                let _ = writeln!(out, "{}: {}", case.name, case.requirements.join(" "));
            }
        }
        "uncovered" => {
            for one in requirements() {
                if !cases()
                    .iter()
                    .any(|case| case.requirements.contains(&one.id))
                {
                    let _ = writeln!(out, "{} {}", one.id, one.level);
                }
            }
        }
        _ => {
            for one in requirements() {
                let _ = writeln!(
                    out,
                    "{} {:<6} {:<10} {}",
                    one.id, one.level, one.profile, one.text
                );
            }
        }
    }
    out
}
