//! Each defect is found by the requirement that it breaks, and by no other.

use faulty_provider::Defect;
use faulty_provider::harness::{self, Cases};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_defect_is_found_by_the_requirement_that_names_it() {
    let defects: Vec<_> = Defect::ALL
        .iter()
        .copied()
        .filter(|one| harness::is_covered(*one))
        .collect();
    let count = defects.len();
    let mutants = harness::mutants(defects, Cases::Profile).await;
    assert_eq!(mutants.len(), count);
    let missed: Vec<_> = mutants
        .into_iter()
        .map(Result::unwrap)
        .filter(|mutant| !mutant.is_caught())
        .map(|mutant| mutant.to_string())
        .collect();
    assert!(
        missed.is_empty(),
        "{} of them:\n{}",
        missed.len(),
        missed.join("\n")
    );
}
