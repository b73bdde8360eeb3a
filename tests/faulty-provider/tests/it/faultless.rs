//! The provider without a defect is conformant.

use faulty_provider::harness;
use provider_conformance::{Paint, Verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_knows_nothing_of_us_is_conformant() {
    let report = harness::faultless().await.unwrap();
    assert_eq!(
        report.verdict,
        Verdict::Conformant,
        "{}",
        report.console(Paint::new(false))
    );
}
