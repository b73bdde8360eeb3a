//! `list`.

use provider_conformance::{Feature, Profile, cases, requirements};

pub(crate) fn list(what: &str) {
    match what {
        "profiles" => {
            for profile in Profile::ALL {
                println!("{:<16} {}", profile.name(), profile.about());
            }
            println!();
            for feature in Feature::ALL {
                println!("{:<16} {}", feature.name(), feature.about());
            }
        }
        "cases" => {
            for case in cases() {
                println!("{}: {}", case.name, case.requirements.join(" "));
            }
        }
        "uncovered" => {
            for one in requirements() {
                if !cases()
                    .iter()
                    .any(|case| case.requirements.contains(&one.id))
                {
                    println!("{} {}", one.id, one.level);
                }
            }
        }
        _ => {
            for one in requirements() {
                println!(
                    "{} {:<6} {:<10} {}",
                    one.id, one.level, one.profile, one.text
                );
            }
        }
    }
}
