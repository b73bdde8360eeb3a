//! Logs as they come.

use std::time::Duration;

use futures_util::StreamExt as _;
use provider_client::{Error, LogQuery};

use crate::raw::{PATIENCE, Step, say, server};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
const END: &str = "0\r\n\r\n";

fn chunk(text: &str) -> Step {
    say(format!("{:x}\r\n{text}\r\n", text.len()))
}

fn line(text: &str) -> String {
    format!(
        "{{\"name\":\"f\",\"namespace\":\"n\",\"instance\":\"i\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"text\":\"{text}\"}}\n"
    )
}

async fn texts(steps: Vec<Step>) -> (Vec<String>, Result<(), Error>) {
    let (client, _heard) = server(steps).await;
    let mut lines = client
        .build()
        .unwrap()
        .logs(&LogQuery::new("f"))
        .await
        .unwrap();
    let mut texts = Vec::new();
    let read = async {
        loop {
            match lines.next().await {
                Ok(Some(line)) => texts.push(line.text),
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, read).await.unwrap();
    assert!(
        lines.next().await.unwrap().is_none(),
        "there is something after the end"
    );
    (texts, ended)
}

#[tokio::test]
async fn lines_are_read_however_they_are_cut() {
    let all = format!(
        "{}{}\n{}",
        line("one"),
        line("two"),
        line("\u{fffd}\u{e9}").trim_end()
    );
    for at in [
        1,
        20,
        line("one").len(),
        line("one").len() + 1,
        all.len() - 1,
    ] {
        let (first, second) = all.split_at(at);
        let (texts, ended) = texts(vec![say(HEAD), chunk(first), chunk(second), say(END)]).await;
        assert_eq!(texts, ["one", "two", "\u{fffd}\u{e9}"], "cut at {at}");
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_line_is_there_when_it_comes_and_a_quiet_log_is_no_error() {
    let (client, _heard) = server(vec![say(HEAD), chunk(&line("now")), Step::Wait]).await;
    let client = client.timeout(Duration::from_millis(200)).build().unwrap();
    let mut lines = client.logs(&LogQuery::new("f")).await.unwrap();
    let first = tokio::time::timeout(PATIENCE, lines.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((&*first.text, &*first.instance), ("now", "i"));
    assert!(first.timestamp.is_some());
    // Longer than a call may take: a log may be quiet for ever.
    let next = tokio::time::timeout(Duration::from_millis(400), lines.next()).await;
    assert!(next.is_err(), "{next:?}");
}

#[tokio::test]
async fn a_log_that_breaks_off_is_an_error_after_its_lines() {
    let (texts, ended) = texts(vec![say(HEAD), chunk(&line("one"))]).await;
    assert_eq!(texts, ["one"]);
    assert!(matches!(ended, Err(Error::Transport(_))), "{ended:?}");
}

#[tokio::test]
async fn what_is_no_line_is_an_error_that_shows_it() {
    let (texts, ended) = texts(vec![
        say(HEAD),
        chunk(&line("one")),
        chunk("<html>\n"),
        chunk(&line("two")),
        say(END),
    ])
    .await;
    assert_eq!(texts, ["one"]);
    let Err(Error::Decode { body, call, .. }) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(
        (&*body, &*call),
        (&b"<html>"[..], "GET /system/logs?name=f")
    );
}

#[tokio::test]
async fn a_refusal_is_told() {
    let (client, _heard) = server(vec![say(
        "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n",
    )])
    .await;
    let error = client
        .build()
        .unwrap()
        .logs(&LogQuery::new("f"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /system/logs?name=f: 404 Not Found: no"
    );
}

#[tokio::test]
async fn lines_are_a_stream_too() {
    let (client, _heard) = server(vec![
        say(HEAD),
        chunk(&line("one")),
        chunk(&line("two")),
        say(END),
    ])
    .await;
    let lines = client
        .build()
        .unwrap()
        .logs(&LogQuery::new("f"))
        .await
        .unwrap();
    let texts: Vec<String> = lines.map(|line| line.unwrap().text).collect().await;
    assert_eq!(texts, ["one", "two"]);
}
