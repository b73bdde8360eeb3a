//! Listeners: Unix sockets, several of them, what does not start.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use provider_http::{
    BasicAuth, Config, Credentials, Drained, ListenAddress, Listeners, Purpose, ServeError, Server,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use crate::support::{Memory, Reply, full, start};

#[tokio::test]
async fn a_unix_socket_serves_any_host_and_nobody_else_may_write_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("provider.sock");
    let backend = Arc::new(Memory::default());
    let server = full(&backend)
        .bind(format!("unix:{}", path.display()))
        .listen()
        .unwrap();
    assert_eq!(
        server.addresses().next().unwrap(),
        &ListenAddress::Unix(path.clone())
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");

    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.serve_until(stopped));
    let mut client = UnixStream::connect(&path).await.unwrap();
    let request = b"GET /system/info HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    assert_eq!(Reply::read_to_end(&mut client).await.status, 200);
    drop(stop);
    assert_eq!(served.await.unwrap().unwrap(), Drained::Clean);
    assert!(!path.exists(), "the socket's file was left behind");
}

#[tokio::test]
async fn each_listener_answers_what_it_is_for() {
    let backend = Arc::new(Memory::default());
    let server = full(&backend)
        .bind_for(Purpose::System, "127.0.0.1:0")
        .bind_for(Purpose::Functions, "127.0.0.1:0")
        .bind_for(Purpose::Metrics, "127.0.0.1:0")
        .listen()
        .unwrap();
    let addresses: Vec<_> = server.addresses().cloned().collect();
    let (_stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.serve_until(stopped));
    for (target, expected) in [
        ("/system/info", [200, 404, 404]),
        ("/system/nowhere", [404, 404, 404]),
        ("/function/absent", [404, 404, 404]),
        ("/async-function/f", [404, 501, 404]),
        ("/metrics", [200, 404, 200]),
        ("/healthz", [200, 200, 200]),
    ] {
        for (address, expected) in addresses.iter().zip(expected) {
            let ListenAddress::Tcp(address) = address else {
                panic!()
            };
            let mut client = TcpStream::connect(address).await.unwrap();
            let head =
                format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let reply = Reply::read_to_end(&mut client).await;
            assert_eq!(reply.status, expected, "{target} at {address}: {reply:?}");
            let by_proxy = reply.header("x-openfaas-internal") == "proxy";
            let functions = Some(&ListenAddress::Tcp(*address)) == addresses.get(1);
            assert_eq!(
                by_proxy,
                target.contains("function/") && functions,
                "{target}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_served_does_not_start() {
    let backend = Arc::new(Memory::default());
    let listen = |address: &str| full(&backend).bind(address).listen();

    assert!(matches!(
        full(&backend).listen(),
        Err(ServeError::NoAddress)
    ));
    assert!(matches!(listen("8080"), Err(ServeError::Address { .. })));
    assert!(matches!(
        listen("192.0.2.1:0"),
        Err(ServeError::Unprotected { .. })
    ));
    assert!(matches!(
        listen("unix:/nowhere/at/all"),
        Err(ServeError::Bind { .. })
    ));

    for open in ["0.0.0.0:0", "[::]:0", ":0"] {
        let error = listen(open).unwrap_err();
        assert!(
            matches!(error, ServeError::Unprotected { .. }),
            "{open}: {error}"
        );
        assert!(error.to_string().contains("basic_auth=true"), "{error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = listen(&taken.local_addr().unwrap().to_string());
    assert!(matches!(error, Err(ServeError::InUse { .. })), "{error:?}");
}

#[tokio::test]
async fn with_credentials_every_interface_may_be_listened_on() {
    let backend = Arc::new(Memory::default());
    let auth = BasicAuth::new([Credentials::new("admin", "s3cr3t").unwrap()]);
    let server = full(&backend)
        .auth(Arc::new(auth))
        .bind("0.0.0.0:0")
        .listen()
        .unwrap();
    assert!(server.local_addr().unwrap().port() > 0);
}

#[tokio::test]
async fn functions_and_metrics_may_be_open_to_others_without_credentials() {
    let backend = Arc::new(Memory::default());
    let server = full(&backend)
        .bind("127.0.0.1:0")
        .bind_for(Purpose::Functions, "0.0.0.0:0")
        .bind_for(Purpose::Metrics, "0.0.0.0:0")
        .listen();
    assert!(server.is_ok(), "{server:?}");
}

#[tokio::test]
async fn two_servers_in_one_process_share_nothing() {
    let (one, two) = (start(|s| s).await, start(|s| s).await);
    let body = r#"{"service":"f","image":"i"}"#;
    assert_eq!(one.ask("POST", "/system/functions", body).await.status, 202);
    assert_eq!(two.ask("GET", "/system/functions", "").await.body, "[]");
    let counted = |text: &str| text.contains(r#"provider_http_requests_total{code="202""#);
    assert!(counted(&one.ask("GET", "/metrics", "").await.body));
    assert!(!counted(&two.ask("GET", "/metrics", "").await.body));
    assert_eq!(one.stop().await, Drained::Clean);
    assert_eq!(two.ask("GET", "/healthz", "").await.status, 200);
}

#[tokio::test]
async fn dropping_the_future_stops_the_server() {
    let backend = Arc::new(Memory::default());
    let server = full(&backend).bind("127.0.0.1:0").listen().unwrap();
    let address = server.local_addr().unwrap();
    let served = tokio::spawn(server.serve_until(std::future::pending::<()>()));
    assert!(TcpStream::connect(address).await.is_ok());
    served.abort();
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, closed)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_needs_a_runtime_only_when_it_serves() {
    let backend = Arc::new(Memory::default());
    let server = std::thread::spawn(move || Server::builder(backend).bind("127.0.0.1:0").listen());
    assert!(server.join().unwrap().is_ok());
}

#[tokio::test]
async fn an_address_may_be_bound_before_there_is_a_server_for_it() {
    let mut listeners = Listeners::new(&Config::default(), None);
    listeners.bind(Purpose::All, "127.0.0.1:0").unwrap();
    let address = listeners.local_addr().unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();

    let backend = Arc::new(Memory::default());
    let server = full(&backend)
        .listeners(listeners)
        .bind_for(Purpose::Metrics, "127.0.0.1:0")
        .listen()
        .unwrap();
    assert_eq!(server.local_addr(), Some(address));
    assert_eq!(server.addresses().count(), 2);
    let (_stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.serve_until(stopped));
    assert_eq!(Reply::read_to_end(&mut client).await.status, 200);
}

#[tokio::test]
async fn what_is_bound_early_is_held_to_the_same_rules() {
    let mut listeners = Listeners::new(&Config::default(), None);
    let error = listeners.bind(Purpose::All, "0.0.0.0:0").unwrap_err();
    assert!(matches!(error, ServeError::Unprotected { .. }), "{error}");

    // Bound for a server with credentials, and then given to one without.
    let auth = BasicAuth::new([Credentials::new("admin", "s3cr3t").unwrap()]);
    let mut listeners = Listeners::new(&Config::default(), Some(&auth));
    listeners.bind(Purpose::All, "0.0.0.0:0").unwrap();
    let backend = Arc::new(Memory::default());
    let error = full(&backend).listeners(listeners).listen().unwrap_err();
    assert!(matches!(error, ServeError::Unprotected { .. }), "{error}");
}
