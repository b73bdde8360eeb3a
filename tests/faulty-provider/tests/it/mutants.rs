//! Each defect is found by the requirement that it breaks.

use faulty_provider::Defect;
use faulty_provider::harness::{self, Cases, Mutant};

async fn all(which: Cases, holds: impl Fn(&Mutant) -> bool) {
    let mut mutants = Vec::new();
    harness::mutants(Defect::ALL.to_vec(), which, |mutant| mutants.push(mutant)).await;
    let count = mutants.len();
    assert_eq!(count, Defect::ALL.len());
    let missed: Vec<_> = mutants
        .into_iter()
        .map(Result::unwrap)
        .filter(|mutant| !holds(mutant))
        .map(|mutant| mutant.to_string())
        .collect();
    assert!(
        missed.is_empty(),
        "{} of {count}:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

/// Among the cases that judge the requirement, nothing else falls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defect_is_found_by_the_requirement_that_names_it_and_no_other() {
    all(Cases::Own, |mutant| mutant.found && mutant.fails_alone()).await;
}

/// With whatever else a provider of that kind is asked at the same time, where one fault may show
/// in several places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defect_is_found_in_a_run_of_its_whole_profile() {
    all(Cases::Profile, |mutant| mutant.found).await;
}
