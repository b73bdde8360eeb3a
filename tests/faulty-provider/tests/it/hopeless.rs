//! A provider that cannot run the test function.

use std::time::Duration;

use faulty_provider::{Options, Provider};
use provider_conformance::{Status, Suite, Target, Timeouts, Verdict, Workload};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_not_waited_for_where_none_starts() {
    let provider = Provider::start("127.0.0.1:0", Options::default());
    let provider = provider.await.unwrap();
    let command = "no-such-program".to_owned();
    let target = Target::new(&provider.url(), Workload::Process { command }).unwrap();
    let mut timeouts = Timeouts::default();
    timeouts.ready = Duration::from_millis(500);
    timeouts.settle = Duration::from_millis(500);
    timeouts.answer = Duration::from_secs(4);
    let suite = Suite::builder().timeouts(timeouts).concurrency(8).build();
    let report = suite.run(&target).await.unwrap();

    assert_eq!(report.verdict, Verdict::NonConformant);
    let must = report.requirement("OFP-FUN-005").unwrap();
    assert_eq!(must.status, Status::Fail, "{must:?}");
    let told = |note: &String| note.contains("can the provider run `no-such-program`?");
    assert!(report.notes.iter().any(told), "{:?}", report.notes);
    // Those that were under way when it showed, and not each of a hundred.
    let waited = report.cases.iter().filter(|case| {
        let mut retries = case.retries.iter();
        retries.any(|retry| retry.what == "the function to become available")
    });
    let waited = waited.count();
    assert!(waited <= 8 + 3, "{waited} cases have waited");
}
