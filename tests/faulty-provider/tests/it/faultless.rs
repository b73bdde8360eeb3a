//! The provider without a defect is conformant.

use faulty_provider::harness;
use provider_conformance::{Paint, Verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_knows_nothing_of_us_is_conformant() {
    let report = harness::faultless().await.unwrap();
    // Partial while there are MUSTs that no case judges, which fails elsewhere.
    assert!(
        matches!(report.verdict, Verdict::Conformant | Verdict::Partial),
        "{}",
        report.console(Paint::new(false))
    );
}
