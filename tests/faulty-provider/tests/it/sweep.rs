//! What a run that ended early leaves behind is removed later, and nothing else.

use std::time::Duration;

use faulty_provider::{Options, Provider};
use provider_conformance::wire::{Address, Answer, Connection, Recorder, Request};
use provider_conformance::{Suite, Target, Workload, sweep};

async fn send(url: &str, request: Request) -> Answer {
    let address = Address::parse(url).unwrap();
    let limit = Duration::from_secs(5);
    let connection = Connection::open(&address, &Recorder::new(), limit).await;
    connection.unwrap().call(&request).await.unwrap()
}

async fn functions(url: &str) -> Vec<String> {
    let list = send(url, Request::get("/system/functions")).await.json();
    let names = list.unwrap();
    let names = names.as_array().unwrap().iter();
    names
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_sweep_removes_what_runs_left_and_nothing_else() {
    let provider = Provider::start("127.0.0.1:0", Options::default());
    let provider = provider.await.unwrap();
    let url = provider.url();
    let theirs = r#"{"service":"theirs","image":"x","envProcess":"test-function"}"#;
    let deployed = send(&url, Request::post("/system/functions").json(theirs)).await;
    assert!(deployed.is_success(), "{}", deployed.shown());

    let command = "test-function".to_owned();
    let target = Target::new(&url, Workload::Process { command }).unwrap();
    let suite = Suite::builder().only("OFP-FUN-012").unwrap().keep(true);
    suite.build().run(&target).await.unwrap();
    let left = functions(&url).await;
    assert!(left.len() > 1, "the run should leave something: {left:?}");

    let swept = sweep(&target).await.unwrap();
    assert_eq!(swept.left, Vec::<String>::new());
    assert_eq!(swept.removed.len(), left.len() - 1, "{swept:?}");
    assert_eq!(functions(&url).await, ["theirs"]);
}
