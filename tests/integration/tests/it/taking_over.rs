//! One version of the provider takes over from another one.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{
    PATIENCE, Place, Provider, SERVER, failing, image, process, runs, signal, until, with,
};

fn next(place: &Place) -> Command {
    let mut command = place.command();
    command.arg("--take-over");
    command
}

/// Starts the next version, and waits until the one before has ended.
async fn taken_over(place: &Place, mut before: Provider) -> Provider {
    let after = Provider::start(next(place)).await;
    assert_eq!(after.url, before.url);
    let ended = timeout(PATIENCE, before.child.wait()).await;
    assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0));
    after
}

/// Clients that call until they are told to end. Any call that fails is a panic.
struct Load {
    done: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Half of the clients keep their connection, the others take a new one for each call.
    fn begin(url: &str, paths: &[&'static str], clients: usize) -> Self {
        let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let (done, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..clients)
            .map(|client| {
                let path = paths[client / 2 % paths.len()];
                let keep = client % 2 == 0;
                let (done, calls) = (done.clone(), calls.clone());
                tokio::spawn(client_of(address, path, keep, done, calls))
            })
            .collect();
        Self {
            done,
            calls,
            clients,
        }
    }

    async fn more(&self, calls: usize) {
        let before = self.calls.load(Ordering::SeqCst);
        let enough = || {
            assert!(
                !self.clients.iter().any(JoinHandle::is_finished),
                "a call failed"
            );
            self.calls.load(Ordering::SeqCst) >= before + calls
        };
        until("calls", enough).await;
    }

    async fn end(self) -> usize {
        self.done.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        self.calls.load(Ordering::SeqCst)
    }
}

async fn client_of(
    address: SocketAddr,
    path: &str,
    keep: bool,
    done: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
) {
    let connection = if keep { "" } else { "Connection: close\r\n" };
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n{connection}\r\nhi");
    while !done.load(Ordering::SeqCst) {
        let mut client = TcpStream::connect(address).await.expect("refused");
        loop {
            client
                .write_all(request.as_bytes())
                .await
                .expect("a request could not be sent");
            let reply = timeout(PATIENCE, reply(&mut client))
                .await
                .expect("no reply");
            assert!(reply.starts_with("HTTP/1.1 200 "), "{reply:?}");
            calls.fetch_add(1, Ordering::SeqCst);
            if reply.contains("connection: close") || done.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

/// One reply, chunked or of a known length.
async fn reply(client: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&reply);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1);
            let length: Option<usize> =
                length.map(|it| it.split("\r\n").next().unwrap().parse().unwrap());
            let whole = match length {
                Some(length) => body.len() == length,
                None => body.ends_with("0\r\n\r\n"),
            };
            if whole {
                return text.into_owned();
            }
        }
        let mut buffer = [0; 4096];
        let read = client.read(&mut buffer).await.expect("a reply broke off");
        assert!(read > 0, "a reply broke off: {text:?}");
        reply.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_versions_in_a_row_lose_no_call() {
    let place = Place::new();
    place.script("server", SERVER);
    let mut provider = place.start().await;
    provider.deployed(process("echo", "cat")).await;
    let server = with(image("server", "server"), json!({"mode": "http"}));
    provider.deployed(server).await;
    provider.scale("server", 2).await;
    provider.available("server", 2).await;
    let load = Load::begin(&provider.url, &["/function/echo", "/function/server"], 12);
    for _ in 0..10 {
        load.more(30).await;
        provider = taken_over(&place, provider).await;
        // Replicas that were ready are ready.
        let status = provider.status("server").await;
        assert_eq!(status["availableReplicas"], 2, "{status}");
    }
    load.more(30).await;
    assert!(load.end().await > 300);
}

#[tokio::test]
async fn a_long_call_and_a_stream_outlast_the_version_that_took_them() {
    let place = Place::new();
    place.script(
        "slow",
        "#!/bin/sh\nfor i in 1 2 3 4 5; do echo $i; sleep 0.5; done\necho done\n",
    );
    let mut before = place.start().await;
    before.deployed(image("slow", "slow")).await;
    let url = format!("{}/function/slow", before.url);
    let mut stream = before.client.get(&url).send().await.unwrap();
    assert_eq!(&stream.chunk().await.unwrap().unwrap()[..], b"1\n");
    let after = Provider::start(next(&place)).await;
    assert!(runs(&before.pid()), "it did not wait for its call");
    let mut text = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text += &String::from_utf8_lossy(&chunk);
    }
    assert_eq!(text, "2\n3\n4\n5\ndone\n");
    let ended = timeout(PATIENCE, before.child.wait()).await;
    assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0));
    assert!(after.called("slow", "").await.ends_with("done\n"));
}

/// Starts late, much later, or not at all, when told so by a file: the next version of the provider
/// then waits for it.
const MOODY: &str = r#"#!/bin/sh
[ -e "$TMPDIR/slow" ] && sleep 60
[ -e "$TMPDIR/late" ] && sleep 1.5
[ -e "$TMPDIR/broken" ] && exit 7
exec perl -e '
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ENV{PORT},
    Listen => 50, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    print $client "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    close $client;
}'
"#;

async fn with_moody(place: &Place) -> Provider {
    place.script("moody", MOODY);
    let provider = place.start().await;
    let moody = with(image("moody", "moody"), json!({"mode": "http"}));
    provider.deployed(moody).await;
    provider.available("moody", 1).await;
    provider
}

/// Whether the state is another process's: then the next version waits for its functions.
fn holder(place: &Place) -> String {
    fs::read_to_string(place.path("state/lock")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_next_version_is_killed_the_one_before_goes_on() {
    let place = Place::new();
    let provider = with_moody(&place).await;
    fs::write(place.path("tmp/slow"), "").unwrap();
    let load = Load::begin(&provider.url, &["/function/moody"], 4);
    for _ in 0..2 {
        let mut after = next(&place).spawn().unwrap();
        let pid = after.id().unwrap().to_string();
        until("the lock", || holder(&place).trim() == pid).await;
        load.more(20).await;
        signal("-KILL", &pid);
        after.wait().await.unwrap();
        load.more(20).await;
        until("the lock", || holder(&place).trim() == provider.pid()).await;
    }
    load.end().await;
    fs::remove_file(place.path("tmp/slow")).unwrap();
    // What is written from now on is kept, and the way is free for another one.
    provider.deployed(process("later", "cat")).await;
    let after = taken_over(&place, provider).await;
    assert_eq!(after.called("later", "kept").await, "kept");
    assert_eq!(after.called("moody", "").await, "ok");
}

#[tokio::test]
async fn when_the_version_before_is_killed_on_the_way_the_next_one_serves() {
    let place = Place::new();
    let mut provider = with_moody(&place).await;
    // Before it has said anything.
    signal("-STOP", &provider.pid());
    let mut after = tokio::spawn(Provider::start(next(&place)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!after.is_finished());
    provider.end("-KILL").await;
    provider = (&mut after).await.unwrap();
    assert_eq!(provider.called("moody", "").await, "ok");

    // After it has offered its sockets, while it waits for an operation to end.
    fs::write(place.path("tmp/late"), "").unwrap();
    let (url, client) = (provider.url.clone(), provider.client.clone());
    let deploying = tokio::spawn(async move {
        let slow = with(image("slow", "moody"), json!({"mode": "http"}));
        let request = client.post(format!("{url}/system/functions")).json(&slow);
        let _ = request.send().await;
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let after = tokio::spawn(Provider::start(next(&place)));
    provider.logged("another version takes over").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let url = provider.url.clone();
    provider.end("-KILL").await;
    deploying.await.unwrap();
    let provider = after.await.unwrap();
    assert_eq!(provider.url, url, "not on the sockets that it was offered");
    assert_eq!(provider.called("moody", "").await, "ok");
}

#[tokio::test]
async fn what_answered_before_answers_when_the_next_version_says_that_it_listens() {
    let place = Place::new();
    let provider = with_moody(&place).await;
    fs::write(place.path("tmp/late"), "").unwrap();
    let after = Provider::start(next(&place)).await;
    let status = after.status("moody").await;
    assert_eq!(status["availableReplicas"], 1, "{status}");
    drop(provider);
}

#[tokio::test]
async fn a_function_that_does_not_start_any_more_keeps_the_version_before() {
    let place = Place::new();
    let provider = with_moody(&place).await;
    fs::write(place.path("tmp/broken"), "").unwrap();
    let (code, said) = failing(next(&place)).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("moody.openfaas-fn") && said.contains("exited with code 7"),
        "{said}"
    );
    assert_eq!(provider.called("moody", "").await, "ok");
    provider.deployed(process("later", "cat")).await;
    assert_eq!(provider.called("later", "here").await, "here");
}

#[tokio::test]
async fn a_next_version_that_cannot_listen_changes_nothing() {
    let place = Place::new();
    let provider = with_moody(&place).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = next(&place);
    let address = taken.local_addr().unwrap().to_string();
    command.args(["--metrics-listen", &address]);
    let (code, said) = failing(command).await;
    assert_eq!(code, 3, "{said}");
    assert_eq!(holder(&place).trim(), provider.pid());
    provider.deployed(process("later", "cat")).await;
    assert_eq!(provider.called("moody", "").await, "ok");
}

#[tokio::test]
async fn a_next_version_that_is_told_to_stop_on_the_way_leaves_the_one_before_alone() {
    let place = Place::new();
    let provider = with_moody(&place).await;
    fs::write(place.path("tmp/late"), "").unwrap();
    for signal_of in ["-TERM", "-INT"] {
        let mut after = next(&place).spawn().unwrap();
        let pid = after.id().unwrap().to_string();
        until("the lock", || holder(&place).trim() == pid).await;
        signal(signal_of, &pid);
        let ended = timeout(PATIENCE, after.wait()).await;
        assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0));
        until("the lock", || holder(&place).trim() == provider.pid()).await;
    }
    assert_eq!(provider.called("moody", "").await, "ok");
    provider.deployed(process("later", "cat")).await;
}

#[tokio::test]
async fn operations_in_between_wait_or_are_told_when_to_ask_again() {
    let place = Place::new();
    let provider = with_moody(&place).await;
    fs::write(place.path("tmp/slow"), "").unwrap();
    let mut after = next(&place).spawn().unwrap();
    let pid = after.id().unwrap().to_string();
    until("the lock", || holder(&place).trim() == pid).await;
    // What only reads goes on.
    assert_eq!(provider.list().await[0]["name"], "moody");
    assert_eq!(provider.get("/system/namespaces").await.status(), 200);
    let refused = provider
        .system(Method::POST, "functions", process("refused", "cat"))
        .await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    // One that waits is done when the version before goes on after all.
    let waiting = process("waiting", "cat");
    let (deployed, ()) = tokio::join!(provider.deploy(&waiting), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        signal("-KILL", &pid);
        after.wait().await.unwrap();
    });
    assert_eq!(deployed.0, StatusCode::ACCEPTED, "{}", deployed.1);
    fs::remove_file(place.path("tmp/slow")).unwrap();
    let after = taken_over(&place, provider).await;
    assert_eq!(after.called("waiting", "done").await, "done");
    assert_eq!(after.call("refused", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_while_versions_change_is_kept() {
    let place = Place::new();
    let mut provider = place.start().await;
    let (url, client) = (provider.url.clone(), provider.client.clone());
    let done = Arc::<AtomicBool>::default();
    let over = done.clone();
    let deploying = tokio::spawn(async move {
        let mut kept = BTreeSet::new();
        for number in 0.. {
            if over.load(Ordering::SeqCst) {
                break;
            }
            let name = format!("secret-{number:04}");
            let body = json!({"name": name, "value": "v"});
            let request = client.post(format!("{url}/system/secrets")).json(&body);
            let reply = request.send().await.expect("a system call broke off");
            match reply.status() {
                StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::OK => {
                    kept.insert(name);
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    assert_eq!(reply.headers()["retry-after"], "1");
                }
                other => panic!("{other}: {}", reply.text().await.unwrap()),
            }
        }
        kept
    });
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        provider = taken_over(&place, provider).await;
    }
    done.store(true, Ordering::SeqCst);
    let kept = deploying.await.unwrap();
    assert!(kept.len() > 20, "{kept:?}");
    let listed: serde_json::Value = provider.get("/system/secrets").await.json().await.unwrap();
    let listed: BTreeSet<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap().to_owned())
        .collect();
    let lost: Vec<_> = kept.difference(&listed).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_function_with_a_port_of_its_own_wait_until_it_is_free() {
    let place = Place::new();
    place.script("server", SERVER);
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let mut provider = place.start().await;
    let variables = json!({"mode": "http", "port": port, "PORT": port});
    let fixed = with(image("fixed", "server"), variables);
    provider.deployed(fixed).await;
    provider.available("fixed", 1).await;
    let first = provider.called("fixed", "").await;
    let load = Load::begin(&provider.url, &["/function/fixed"], 4);
    for _ in 0..2 {
        load.more(10).await;
        provider = taken_over(&place, provider).await;
    }
    load.more(10).await;
    load.end().await;
    assert_ne!(provider.called("fixed", "").await, first);
}

#[tokio::test]
async fn where_none_runs_there_is_none_to_take_over_from() {
    let place = Place::new();
    let mut provider = Provider::start(next(&place)).await;
    provider.deployed(process("echo", "cat")).await;
    assert_eq!(provider.end("-KILL").await.code(), None);
    let provider = Provider::start(next(&place)).await;
    assert_eq!(provider.called("echo", "here").await, "here");
}

#[tokio::test]
async fn a_version_that_speaks_otherwise_is_refused_with_words() {
    use std::io::{BufRead as _, BufReader, Write as _};

    let place = Place::new();
    let provider = place.start().await;
    let ask = |request: &str| {
        let mut control = UnixStream::connect(place.path("state/control.sock")).unwrap();
        let key = fs::read_to_string(place.path("state/control.key")).unwrap();
        control
            .write_all(format!("{key} {request}\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        BufReader::new(control).read_line(&mut line).unwrap();
        line
    };
    let said = ask("take-over 99");
    assert!(
        said.starts_with("error ") && said.contains("version 1"),
        "{said}"
    );
    assert!(ask("take-over").starts_with("error "));
    // One that begins and leaves changes nothing.
    assert_eq!(ask("take-over 1"), "ok\n");
    provider.deployed(process("echo", "cat")).await;
    assert_eq!(provider.called("echo", "here").await, "here");
}

#[tokio::test]
async fn a_signal_ends_the_version_before_in_time() {
    let place = Place::new();
    place.script("forever", "#!/bin/sh\necho up\nexec sleep 300\n");
    let mut command = place.command();
    command.env("drain_timeout", "1s");
    let mut before = Provider::start(command).await;
    before.deployed(image("forever", "forever")).await;
    let url = format!("{}/function/forever", before.url);
    let mut stream = before.client.get(&url).send().await.unwrap();
    assert_eq!(&stream.chunk().await.unwrap().unwrap()[..], b"up\n");
    let after = Provider::start(next(&place)).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(runs(&before.pid()), "it cut its call");
    assert_eq!(before.end("-TERM").await.code(), Some(0));
    let mut other = after.client.get(&url).send().await.unwrap();
    assert_eq!(&other.chunk().await.unwrap().unwrap()[..], b"up\n");
}

/// Lines of the old version's function and of the new one's, of a call that began before and ended
/// after: all are there once, in the order of their time.
#[tokio::test]
async fn log_lines_of_both_versions_are_in_one_log() {
    let place = Place::new();
    place.script(
        "talk",
        "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8; do echo \"line $i\" >&2; sleep 0.3; done\necho done\n",
    );
    let before = place.start().await;
    before.deployed(image("talk", "talk")).await;
    let url = format!("{}/function/talk", before.url);
    let (client, wanted) = (before.client.clone(), url.clone());
    let long = tokio::spawn(async move {
        let reply = client.get(wanted).send().await.unwrap();
        reply.text().await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    let after = taken_over(&place, before).await;
    assert_eq!(long.await.unwrap(), "done\n");
    assert_eq!(after.called("talk", "").await, "done\n");
    let written = async || {
        let log = after
            .get("/system/logs?name=talk")
            .await
            .text()
            .await
            .unwrap();
        let lines = log.lines().filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let said = line["text"].as_str().unwrap().split("stderr: ").nth(1)?;
            Some(said.to_owned())
        });
        lines.collect::<Vec<_>>()
    };
    let all: Vec<String> = (1..=8).chain(1..=8).map(|i| format!("line {i}")).collect();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let lines = written().await;
        if lines == all {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{lines:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn log_lines_are_kept_when_the_next_version_does_not_come_about() {
    let place = Place::new();
    let provider = with_moody(&place).await;
    place.script("talk", "#!/bin/sh\necho \"line $(cat)\" >&2\n");
    provider.deployed(image("talk", "talk")).await;
    provider.called("talk", "1").await;
    fs::write(place.path("tmp/slow"), "").unwrap();
    let mut after = next(&place).spawn().unwrap();
    let pid = after.id().unwrap().to_string();
    until("the lock", || holder(&place).trim() == pid).await;
    provider.called("talk", "2").await;
    signal("-KILL", &pid);
    after.wait().await.unwrap();
    provider.called("talk", "3").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let log = provider
            .get("/system/logs?name=talk")
            .await
            .text()
            .await
            .unwrap();
        let places: Vec<_> = ["line 1", "line 2", "line 3"].map(|it| log.find(it)).into();
        if places.iter().all(Option::is_some) {
            assert!(places.is_sorted(), "{log}");
            assert_eq!(log.matches("line ").count(), 3, "{log}");
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
