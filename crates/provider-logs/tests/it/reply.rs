//! The reply: statuses, headers, lines, flushes, ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use provider_logs::LogService;
use provider_types::{
    Identity, Line, LogEvent, LogRequest, LogSource, LogStream, NameRule, Namespace, ProviderError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::client::{PATIENCE, Reply, serve};

type Event = Result<LogEvent, ProviderError>;

/// Gives what a test sends, one event when it is asked for one.
struct Fed(std::sync::Mutex<Option<mpsc::Receiver<Event>>>);

fn fed() -> (mpsc::Sender<Event>, Fed) {
    let (send, receive) = mpsc::channel(1);
    (send, Fed(std::sync::Mutex::new(Some(receive))))
}

#[async_trait]
impl LogSource for Fed {
    async fn query(&self, _request: LogRequest) -> Result<LogStream, ProviderError> {
        let mut receive = self.0.lock().unwrap().take().unwrap();
        Ok(stream::poll_fn(move |cx| receive.poll_recv(cx)).boxed())
    }
}

/// Refuses, or has one line that tells what was asked.
struct Echo;

#[async_trait]
impl LogSource for Echo {
    async fn query(&self, request: LogRequest) -> Result<LogStream, ProviderError> {
        match request.function.name.as_str() {
            "unknown" => Err(ProviderError::not_found(
                "function: unknown.openfaas-fn not found",
            )),
            "busy" => Err(ProviderError::unavailable("the store is being opened")
                .with_retry_after(Duration::from_millis(2001))),
            "broken" => Err(ProviderError::internal("the logs cannot be read")
                .with_cause(std::io::Error::other("secret path"))),
            _ => {
                let caller = request.context.caller.map(|caller| caller.name);
                let asked = format!(
                    "{} {:?} {:?} {} {caller:?}",
                    request.function, request.instance, request.tail, request.follow
                );
                let time = UNIX_EPOCH + Duration::from_millis(1500);
                let line = Ok(LogEvent::Line(Line::new("f-1", time, asked)));
                Ok(stream::iter([line]).boxed())
            }
        }
    }
}

fn line(text: impl Into<String>) -> Event {
    Ok(LogEvent::Line(Line::new("f-1", UNIX_EPOCH, text)))
}

#[tokio::test]
async fn a_line_is_a_message_of_five_keys_and_a_newline() {
    let address = serve(Echo).await;
    let reply = Reply::get(address, "name=f&namespace=dev&tail=2&instance=<a>").await;
    assert_eq!(reply.response.status(), 200);
    assert_eq!(
        reply.response.headers()["content-type"],
        "application/x-ndjson"
    );
    assert_eq!(
        reply.response.text().await.unwrap(),
        "{\"name\":\"f\",\"namespace\":\"dev\",\"instance\":\"f-1\",\
         \"timestamp\":\"1970-01-01T00:00:01.5Z\",\
         \"text\":\"f.dev Some(\\\"\\u003ca\\u003e\\\") Some(2) false None\"}\n"
    );
}

#[tokio::test]
async fn a_program_chooses_its_default_namespace_its_name_rule_and_its_callers() {
    let service = LogService::new(Echo)
        .default_namespace(Namespace::new("apps").unwrap())
        .name_rule(NameRule::Dotted);
    let mut request = http::Request::get("/system/logs?name=A.b")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Identity::new("admin"));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let line: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(line["text"], "A.b.apps None None false Some(\"admin\")");
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_gets_a_status_and_words() {
    let address = serve(Echo).await;
    for (query, status, words) in [
        (
            "name=unknown",
            404,
            "function: unknown.openfaas-fn not found\n",
        ),
        ("name=f&tail=x", 422, "could not parse the log request\n"),
        ("name=f&since=now", 422, "could not parse the log request\n"),
        ("name=busy", 503, "the store is being opened\n"),
        ("name=broken", 500, "the logs cannot be read\n"),
    ] {
        let response = Reply::get(address, query).await.response;
        assert_eq!(response.status(), status, "{query}");
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(
            headers.get("retry-after").map(|after| after.as_bytes()),
            (status == 503).then_some(&b"3"[..])
        );
        assert_eq!(response.text().await.unwrap(), words, "{query}");
    }
    for query in ["", "tail=1", "name=", "name=..%2F..", "name=f&namespace=A"] {
        let response = Reply::get(address, query).await.response;
        assert_eq!(response.status(), 400, "{query}");
        assert!(response.text().await.unwrap().ends_with("characters\n"));
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_not_served() {
    let address = serve(Echo).await;
    let client = reqwest::Client::new();
    let url = format!("http://{address}/system/logs?name=f");
    for request in [client.post(&url), client.head(&url), client.delete(&url)] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.text().await.unwrap(), "");
    }
    let response = reqwest::get(format!("http://{address}/system/log?name=f"))
        .await
        .unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.text().await.unwrap(), "404 page not found\n");
}

#[tokio::test]
async fn headers_come_before_the_first_line_and_each_line_at_once() {
    let (send, source) = fed();
    let address = serve(source).await;
    let mut reply = Reply::get(address, "name=f&follow=1").await;
    assert_eq!(reply.response.status(), 200);
    for text in ["one", "two", "three"] {
        send.send(line(text)).await.unwrap();
        assert_eq!(reply.text().await, text);
    }
    drop(send);
    assert!(reply.texts().await.is_empty());
}

#[tokio::test]
async fn missing_lines_are_announced_where_they_are_missing() {
    let (send, source) = fed();
    let address = serve(source).await;
    let mut reply = Reply::get(address, "name=f&follow=1").await;
    for event in [
        line("before"),
        Ok(LogEvent::Dropped(7)),
        Ok(LogEvent::Dropped(1)),
    ] {
        send.send(event).await.unwrap();
    }
    assert_eq!(reply.text().await, "before");
    let gap = reply.line().await.unwrap().unwrap();
    assert_eq!(gap["text"], "7 log lines are missing here");
    assert_eq!(gap["timestamp"], "1970-01-01T00:00:00Z");
    assert_eq!(reply.text().await, "1 log line is missing here");
}

#[tokio::test]
async fn a_source_that_fails_says_so_and_breaks_the_stream() {
    let (send, source) = fed();
    let address = serve(source).await;
    let mut reply = Reply::get(address, "name=f&follow=1").await;
    send.send(line("before")).await.unwrap();
    send.send(Err(ProviderError::internal("the disk is gone")))
        .await
        .unwrap();
    assert_eq!(reply.text().await, "before");
    assert_eq!(
        reply.text().await,
        "the log stream broke off: the disk is gone"
    );
    assert!(reply.line().await.is_err(), "it looks complete");
}

/// Counts the lines that were asked of it and notes when it is dropped.
struct Endless {
    asked: Arc<AtomicUsize>,
    dropped: mpsc::Sender<()>,
}

struct Told(mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[async_trait]
impl LogSource for Endless {
    async fn query(&self, _request: LogRequest) -> Result<LogStream, ProviderError> {
        let (asked, told) = (Arc::clone(&self.asked), Told(self.dropped.clone()));
        Ok(stream::repeat_with(move || {
            let _held = &told;
            let number = asked.fetch_add(1, Ordering::SeqCst);
            line(format!("{number} {}", "x".repeat(1000)))
        })
        .boxed())
    }
}

#[tokio::test]
async fn a_slow_client_slows_the_source_and_loses_nothing() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (dropped, mut was_dropped) = mpsc::channel(1);
    let source = Endless {
        asked: Arc::clone(&asked),
        dropped,
    };
    let address = serve(source).await;
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET /system/logs?name=f&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // Nobody reads. Wait until the source is asked for no more.
    let mut before = usize::MAX;
    while before != asked.load(Ordering::SeqCst) {
        before = asked.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // The sockets' own buffers take some MiB; without a limit it would be gigabytes by now.
    assert!(
        (1..50_000).contains(&before),
        "{before} lines were asked for"
    );

    let mut read = String::new();
    let mut buffer = vec![0; 65536];
    let beyond = format!("\"text\":\"{} x", before + 100);
    while !read.contains(&beyond) {
        let count = client.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the stream has ended");
        read.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let numbers: Vec<usize> = read
        .split("\"text\":\"")
        .skip(1)
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.iter().copied().eq(0..numbers.len()), "out of order");

    drop(client);
    tokio::time::timeout(PATIENCE, was_dropped.recv())
        .await
        .expect("the source was not dropped when the client left");
}

#[tokio::test]
async fn a_silent_source_is_dropped_when_the_client_leaves() {
    let (send, source) = fed();
    let address = serve(source).await;
    let reply = Reply::get(address, "name=f&follow=1").await;
    drop(reply);
    tokio::time::timeout(PATIENCE, send.closed())
        .await
        .expect("the source was not dropped when the client left");
}
