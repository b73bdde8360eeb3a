//! A service manager that holds the sockets: the test stands in for it.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;

use crate::support::{Place, Provider, binary, failing, process, until};

/// Passes its standard input on as descriptor 3, as a service manager does. `exec` keeps the id.
const PASS: &str = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#;

fn activated(place: &Place, socket: impl Into<OwnedFd>, script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("TMPDIR", place.path("tmp"))
        .args(["-c", script, "sh"])
        .arg(binary())
        .arg("--state-dir")
        .arg(place.path("state"))
        .stdin(Stdio::from(socket.into()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_started_again_under_load_it_refuses_nobody() {
    let place = Place::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || Provider::start(activated(&place, socket.try_clone().unwrap(), PASS));
    let mut provider = start().await;
    assert_eq!(provider.url, format!("http://{address}"));
    provider.deployed(process("echo", "cat")).await;

    let done = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (done, calls) = (Arc::clone(&done), Arc::clone(&calls));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let mut client = TcpStream::connect(address).await.expect("refused");
                    let call = b"POST /function/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\
                                 Connection: close\r\n\r\nhi";
                    client.write_all(call).await.unwrap();
                    let mut reply = String::new();
                    client.read_to_string(&mut reply).await.unwrap();
                    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply:?}");
                    assert!(reply.ends_with("\r\nhi\r\n0\r\n\r\n"), "{reply:?}");
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = calls.load(Ordering::SeqCst);
        until("calls", || calls.load(Ordering::SeqCst) > before + 20).await;
        assert_eq!(provider.end("-TERM").await.code(), Some(0));
        // Calls arrive while no provider runs.
        tokio::time::sleep(Duration::from_millis(300)).await;
        provider = start().await;
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn the_file_of_its_unix_socket_stays() {
    let place = Place::new();
    let path = place.path("s.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut provider = Provider::start(activated(&place, socket.try_clone().unwrap(), PASS)).await;
    let mut client = UnixStream::connect(&path).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply:?}");
    assert_eq!(provider.end("-TERM").await.code(), Some(0));
    assert!(path.exists(), "the file was removed");
}

#[tokio::test]
async fn the_name_of_a_socket_says_what_it_is_for() {
    let place = Place::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let named = format!("export LISTEN_FDNAMES=metrics; {PASS}");
    let mut command = activated(&place, socket, &named);
    command.args(["--listen", "127.0.0.1:0"]);
    let provider = Provider::start(command).await;
    assert!(
        provider
            .banner
            .contains(&format!(" and http://{address}\n")),
        "{}",
        provider.banner
    );
    let status = |path| {
        let url = format!("http://{address}/{path}");
        async { provider.client.get(url).send().await.unwrap().status() }
    };
    assert_eq!(status("metrics").await, 200);
    assert_eq!(status("system/functions").await, 404);
}

#[tokio::test]
async fn what_is_passed_to_another_process_or_cannot_be_served_is_not() {
    let place = Place::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let other = PASS.replace("$$", "1");
    let mut command = activated(&place, socket.try_clone().unwrap(), &other);
    command.args(["--listen", "127.0.0.1:0"]);
    let provider = Provider::start(command).await;
    assert_ne!(provider.url, format!("http://{address}"));
    drop(provider);

    let datagrams = UnixDatagram::bind(place.path("d")).unwrap();
    let (code, said) = failing(activated(&place, datagrams, PASS)).await;
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("descriptor 3") && said.contains("ListenStream"),
        "{said}"
    );

    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let (code, said) = failing(activated(&place, open, PASS)).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("basic_auth"), "{said}");
}

#[tokio::test]
async fn functions_do_not_get_its_sockets() {
    let place = Place::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let provider = Provider::start(activated(&place, socket, PASS)).await;
    provider
        .deployed(process("fds", "ls -l /proc/self/fd"))
        .await;
    let descriptors = provider.called("fds", "").await;
    assert!(!descriptors.contains("socket:"), "{descriptors}");
    provider.deployed(process("env", "env")).await;
    let variables = provider.called("env", "").await;
    assert!(!variables.contains("LISTEN_"), "{variables}");
}

#[tokio::test]
async fn it_is_told_when_the_provider_serves_and_when_it_stops() {
    let place = Place::new();
    let path = place.path("notify");
    let news = tokio::net::UnixDatagram::bind(&path).unwrap();
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", &path);
    let mut provider = Provider::start(command).await;
    let told = async || {
        let mut text = [0; 256];
        let length = tokio::time::timeout(crate::support::PATIENCE, news.recv(&mut text));
        let length = length.await.expect("nothing was told").unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    assert_eq!(told().await, format!("READY=1\nMAINPID={}", provider.pid()));
    assert_eq!(provider.end("-TERM").await.code(), Some(0));
    assert_eq!(told().await, "STOPPING=1");
}
