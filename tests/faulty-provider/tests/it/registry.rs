//! Each MUST has a defect, and each defect a requirement.

use faulty_provider::{Defect, harness};
use provider_conformance::{Level, requirement, requirements};

#[test]
fn every_must_has_a_defect() {
    let without: Vec<_> = requirements()
        .iter()
        .filter(|one| one.level == Level::Must && harness::declared().lacks(one).is_none())
        .filter(|one| Defect::ALL.iter().all(|defect| defect.found_by() != one.id))
        .map(|one| format!("{} {}", one.id, one.text))
        .collect();
    assert!(
        without.is_empty(),
        "no defect breaks:\n{}",
        without.join("\n")
    );
}

#[test]
fn the_provider_declares_all_that_has_a_must() {
    let declared = harness::declared();
    let lacking = requirements().iter().filter(|one| one.level == Level::Must);
    let lacking: Vec<_> = lacking.filter_map(|one| declared.lacks(one)).collect();
    assert!(lacking.is_empty(), "not declared: {lacking:?}");
}

#[test]
fn every_defect_breaks_a_requirement_that_there_is() {
    for defect in Defect::ALL {
        assert!(requirement(defect.found_by()).is_some(), "{defect}");
        for id in defect.falls_along() {
            assert!(requirement(id).is_some(), "{defect}: {id}");
        }
    }
}
