//! What holds for every requirement.

use super::{areas, requirements};
use crate::requirement::{Level, Profile};

#[test]
fn ids_name_their_area_and_are_numbered_without_gaps() {
    for area in areas() {
        for (index, one) in area.requirements.iter().enumerate() {
            assert_eq!(one.id, format!("OFP-{}-{:03}", area.code, index + 1));
            assert_eq!(one.area(), area.code);
        }
    }
}

#[test]
fn the_text_says_the_level_and_only_that() {
    for one in requirements() {
        let (said, other) = match one.level {
            Level::Must => ("MUST", "SHOULD"),
            Level::Should => ("SHOULD", "MUST"),
        };
        assert!(one.text.contains(said), "{}: {said}", one.id);
        assert!(!one.text.contains(other), "{}: {other}", one.id);
        assert!(one.text.ends_with('.'), "{}: a sentence ends", one.id);
    }
}

#[test]
fn a_must_outside_hardening_names_who_needs_it() {
    let needed_by = ["faas-cli", "go-sdk", "gateway", "RFC "];
    for one in requirements() {
        assert!(!one.source.is_empty(), "{}", one.id);
        if one.level == Level::Must && one.profile != Profile::Hardening {
            assert!(
                needed_by.iter().any(|name| one.source.contains(name)),
                "{}: {}",
                one.id,
                one.source
            );
        }
    }
}
