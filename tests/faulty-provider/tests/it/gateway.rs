//! A provider is judged fairly behind a gateway: what the gateway does its own way is not held
//! against it, and its own faults are still found.

use std::io;

use faulty_provider::{Defect, Options, Provider};
use provider_conformance::{Paint, Report, Status, Suite, SuiteBuilder, Target, Verdict, Workload};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const USER: &str = "admin";
const PASSWORD: &str = "a-password-of-the-gateway";

/// What most providers behind a gateway keep to.
const DECLARED: &[&str] = &["secrets", "logs", "scale", "scale-zero", "auth", "metrics"];

/// Stands in front of a provider as a gateway does: its own metrics are elsewhere, it wraps the
/// provider's information, and of answers to log queries it passes the lines on and nothing else.
async fn gateway(provider: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let provider = provider.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let provider = provider.clone();
            // Callers that leave and malformed requests end their connection alone.
            tokio::spawn(async move { forward(client, &provider).await });
        }
    });
    url
}

/// Forwards the first request of a connection by its path, and whatever follows as it comes.
async fn forward(mut client: TcpStream, provider: &str) -> io::Result<()> {
    let head = head(&mut client).await?;
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    if path == "/metrics" {
        let reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(reply.as_bytes()).await;
    }
    let mut upstream = TcpStream::connect(provider).await?;
    upstream.write_all(head.as_bytes()).await?;
    if path == "/system/info" && head.starts_with("GET ") {
        let reply = self::head(&mut upstream).await?;
        return match length(&reply) {
            Some(length) if reply.starts_with("HTTP/1.1 200 ") => {
                let mut info = vec![0; length];
                upstream.read_exact(&mut info).await?;
                let info = String::from_utf8(info).map_err(io::Error::other)?;
                let info = format!(
                    r#"{{"provider":{info},"version":{{"release":"1","sha":"1"}},"arch":"x86_64"}}"#
                );
                let reply = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{info}",
                    info.len()
                );
                client.write_all(reply.as_bytes()).await
            }
            _ => pass(client, upstream, &reply).await,
        };
    }
    if path == "/system/logs" {
        let reply = self::head(&mut upstream).await?;
        if reply.starts_with("HTTP/1.1 200 ") || reply.starts_with("HTTP/1.1 401 ") {
            let reply = reply.replace("application/x-ndjson", "text/plain; charset=utf-8");
            return pass(client, upstream, &reply).await;
        }
        let reply = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n";
        return client.write_all(reply.as_bytes()).await;
    }
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

async fn pass(mut client: TcpStream, mut upstream: TcpStream, reply: &str) -> io::Result<()> {
    client.write_all(reply.as_bytes()).await?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

/// Everything up to the end of a head. Each byte is one character, as none here is another.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await?));
    }
    Ok(head)
}

fn length(head: &str) -> Option<usize> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.parse().ok()
}

/// Runs a suite against a provider through a gateway.
async fn through_gateway(
    defect: Option<Defect>,
    tell: impl FnOnce(SuiteBuilder) -> SuiteBuilder,
    point: impl FnOnce(Target) -> Target,
) -> Report {
    let options = Options {
        credentials: Some((USER.to_owned(), PASSWORD.to_owned())),
        ..Options::default()
    };
    let provider = Provider::start("127.0.0.1:0", options).await.unwrap();
    if let Some(defect) = defect {
        provider.set(defect, true);
    }
    let command = "test-function".to_owned();
    let url = gateway(provider.url()).await;
    let target = Target::new(&url, Workload::Process { command }).unwrap();
    let target = point(target.basic_auth(USER, PASSWORD));
    let mut suite = Suite::builder();
    for name in DECLARED {
        suite = suite.declare(name).unwrap();
    }
    tell(suite).build().run(&target).await.unwrap()
}

fn status(report: &Report, id: &str) -> Status {
    report.requirement(id).unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_provider_behind_a_gateway_is_conformant() {
    let report = through_gateway(None, |suite| suite, Target::gateway).await;
    let shown = report.console(Paint::new(false));
    assert_eq!(report.verdict, Verdict::Conformant, "{shown}");
    assert_eq!(report.with_status(Status::Warn).count(), 0, "{shown}");
    for (id, why) in [
        ("OFP-MET-001", "gateway_*"),
        ("OFP-LOG-015", "header of its own"),
        ("OFP-LOG-016", "every refusal"),
    ] {
        assert_eq!(status(&report, id), Status::NotApplicable, "{id}");
        assert!(
            report
                .requirement(id)
                .unwrap()
                .reasons
                .concat()
                .contains(why)
        );
    }
    let noted = |note: &String| note.starts_with("17 requirements are not applicable: a gateway");
    assert!(report.notes.iter().any(noted), "{:?}", report.notes);
}

#[tokio::test]
async fn the_same_is_held_against_a_provider_that_is_no_gateway() {
    let some = |suite: SuiteBuilder| suite.only("MET").unwrap().only("OFP-LOG-016").unwrap();
    let report = through_gateway(None, some, |target| target).await;
    assert_eq!(status(&report, "OFP-MET-001"), Status::Fail);
    assert_eq!(status(&report, "OFP-LOG-016"), Status::Warn);
}

#[tokio::test]
async fn a_fault_is_found_through_a_gateway() {
    let some = |suite: SuiteBuilder| suite.only("OFP-FUN-001").unwrap();
    let report = through_gateway(Some(Defect::DeployIs201), some, Target::gateway).await;
    assert_eq!(status(&report, "OFP-FUN-001"), Status::Fail);
}
