//! `log_source_alone` shows what is in a real journal, and what comes into it.

use std::time::Duration;

use reqwest::{Client, Response};

use crate::journald::Journald;
use crate::program::Program;

async fn next(response: &mut Response) -> String {
    let chunk = tokio::time::timeout(Duration::from_secs(20), response.chunk());
    let chunk = chunk.await.unwrap().unwrap().unwrap();
    String::from_utf8(chunk.to_vec()).unwrap()
}

#[tokio::test]
async fn lines_of_the_journal_are_followed_until_the_client_leaves() {
    let journald = Journald::hold();
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let name = format!("example-{nanos}");
    let identifier = format!("openfaas-fn:{name}");
    let instance = journald.line(&identifier, "before");

    let program = Program::start(env!("CARGO_BIN_EXE_log_source_alone"), &[]);
    let client = Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/system/logs?name={name}&follow=1", program.url);
    let mut response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);

    let line = next(&mut response).await;
    let start = format!(
        r#"{{"name":"{name}","namespace":"openfaas-fn","instance":"{instance}","timestamp":""#
    );
    assert!(line.starts_with(&start), "{line}");
    assert!(line.ends_with("\"text\":\"before\"}\n"), "{line}");

    journald.write(&[
        ("SYSLOG_IDENTIFIER", identifier.as_bytes()),
        ("MESSAGE", b"live"),
    ]);
    let line = next(&mut response).await;
    assert!(line.ends_with("\"text\":\"live\"}\n"), "{line}");
}

#[tokio::test]
async fn nothing_else_is_served() {
    let program = Program::start(env!("CARGO_BIN_EXE_log_source_alone"), &[]);
    let client = Client::builder().no_proxy().build().unwrap();
    let info = client.get(format!("{}/system/info", program.url)).send();
    assert_eq!(info.await.unwrap().status(), 404);
    let post = client.post(format!("{}/system/logs", program.url)).send();
    assert_eq!(post.await.unwrap().status(), 405);
}
