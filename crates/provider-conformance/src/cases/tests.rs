//! What holds for the list of cases.

use std::collections::BTreeSet;

use super::all;
use crate::requirements::{requirement, requirements};

#[test]
fn every_case_names_requirements_that_there_are() {
    for case in all() {
        assert!(!case.requirements.is_empty(), "{}", case.name);
        for id in case.requirements {
            assert!(requirement(id).is_some(), "{} names {id}", case.name);
        }
    }
}

#[test]
fn no_two_cases_have_one_name() {
    let mut names = BTreeSet::new();
    for case in all() {
        assert!(names.insert(case.name), "{}", case.name);
    }
}

#[test]
fn every_requirement_has_a_case() {
    let cases = all();
    let covered: BTreeSet<&str> = cases
        .iter()
        .flat_map(|case| case.requirements)
        .copied()
        .collect();
    let ids = requirements().iter().map(|one| one.id);
    let bare: Vec<&str> = ids.filter(|id| !covered.contains(id)).collect();
    assert!(bare.is_empty(), "no case judges {bare:?}");
}
