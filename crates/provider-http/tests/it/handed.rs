//! Sockets from the service manager, and from the server before.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use provider_http::{
    Config, Drained, HandOver, HandedSocket, ListenAddress, Listeners, Purpose, ServeError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Memory, Reply, full};
use crate::upstream;

/// A server with one function, `f`, and the way to hand it over.
struct Version {
    address: ListenAddress,
    hand_over: HandOver,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Drained>,
}

fn workers(count: usize) -> Config {
    let mut config = Config::default();
    config.workers = Some(count);
    config
}

fn serve(config: Config, mut listeners: Listeners, function: SocketAddr) -> Version {
    let hand_over = listeners.hand_over().unwrap();
    let backend = Arc::new(Memory::default());
    backend.add("f");
    *backend.upstream.lock().unwrap() = Some(function);
    let server = full(&backend)
        .config(config)
        .listeners(listeners)
        .listen()
        .unwrap();
    let address = server.addresses().next().unwrap().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(async move { server.serve_until(stopped).await.unwrap() });
    Version {
        address,
        hand_over,
        stop,
        served,
    }
}

fn first(config: Config, address: &str, function: SocketAddr) -> Version {
    let mut listeners = Listeners::new(&config, None);
    listeners.bind(Purpose::All, address).unwrap();
    serve(config, listeners, function)
}

/// Has the next version take over from this one, and tells this one to stop.
fn next(before: Version, config: Config, function: SocketAddr) -> (Version, JoinHandle<Drained>) {
    let mut listeners = Listeners::new(&config, None);
    for socket in before.hand_over.sockets().unwrap() {
        listeners.offer(socket).unwrap();
    }
    assert!(!listeners.adopt(Purpose::All, Purpose::All).unwrap());
    let address = match &before.address {
        ListenAddress::Tcp(address) => address.to_string(),
        unix @ ListenAddress::Unix(_) => unix.to_string(),
    };
    listeners.bind(Purpose::All, &address).unwrap();
    before.hand_over.give(listeners.taken());
    let after = serve(config, listeners, function);
    assert_eq!(after.address, before.address);
    drop(before.stop);
    (after, before.served)
}

fn tcp(address: &ListenAddress) -> SocketAddr {
    match address {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Unix(path) => panic!("{path:?}"),
    }
}

async fn called(address: SocketAddr) -> Reply {
    let mut client = TcpStream::connect(address).await.expect("nobody listens");
    let head = b"GET /function/f/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(head).await.unwrap();
    Reply::read_to_end(&mut client).await
}

/// Half of the clients keep their connections until they are told to close, the others take a new
/// one for each call. The number of workers changes, so that sockets are shared and doubled up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_ten_servers_take_over_one_from_the_other() {
    let function = upstream::start().await;
    let mut version = first(workers(2), "127.0.0.1:0", function);
    let address = tcp(&version.address);
    let done = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..32)
        .map(|client| {
            let (done, served) = (Arc::clone(&done), Arc::clone(&served));
            tokio::spawn(async move {
                let close = if client % 2 == 0 {
                    "Connection: close\r\n"
                } else {
                    ""
                };
                let request =
                    format!("GET /function/f/x HTTP/1.1\r\nHost: localhost\r\n{close}\r\n");
                'connections: while !done.load(Ordering::SeqCst) {
                    let mut connection = TcpStream::connect(address)
                        .await
                        .expect("a connection was refused");
                    while !done.load(Ordering::SeqCst) {
                        connection
                            .write_all(request.as_bytes())
                            .await
                            .expect("a request could not be sent");
                        let mut reply = Vec::new();
                        while !reply.ends_with(b"\n\n") {
                            let mut buffer = [0; 4096];
                            let n = connection
                                .read(&mut buffer)
                                .await
                                .expect("a reply broke off");
                            assert!(n > 0, "no reply: {:?}", String::from_utf8_lossy(&reply));
                            reply.extend_from_slice(&buffer[..n]);
                        }
                        assert!(reply.starts_with(b"HTTP/1.1 200 "));
                        served.fetch_add(1, Ordering::SeqCst);
                        if String::from_utf8_lossy(&reply).contains("connection: close") {
                            continue 'connections;
                        }
                    }
                }
            })
        })
        .collect();
    let mut old = Vec::new();
    for count in [1, 3, 2, 1, 1, 4, 2, 2, 1, 3] {
        let before = served.load(Ordering::SeqCst);
        while served.load(Ordering::SeqCst) < before + 100 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (after, ended) = next(version, workers(count), function);
        version = after;
        old.push(ended);
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    for ended in old {
        assert_eq!(ended.await.unwrap(), Drained::Clean);
    }
    drop(version.stop);
    assert_eq!(version.served.await.unwrap(), Drained::Clean);
    assert!(
        TcpStream::connect(address).await.is_err(),
        "a copy was left open"
    );
}

#[tokio::test]
async fn a_stream_outlasts_the_time_to_drain_when_another_server_has_the_address() {
    let function = upstream::start().await;
    let mut config = workers(1);
    config.drain_timeout = Duration::from_millis(10);
    let version = first(config.clone(), "127.0.0.1:0", function);
    let mut stream = TcpStream::connect(tcp(&version.address)).await.unwrap();
    let head = b"GET /function/f/stream/60 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut begun = [0; 16];
    stream.read_exact(&mut begun).await.unwrap();
    let (_after, ended) = next(version, config, function);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("frame 59\n\r\n0\r\n\r\n"), "{rest}");
    assert_eq!(ended.await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn what_is_offered_and_taken_back_is_the_servers_own_again() {
    let function = upstream::start().await;
    let version = first(workers(2), "127.0.0.1:0", function);
    let address = tcp(&version.address);
    let sockets = version.hand_over.sockets().unwrap();
    assert_eq!(sockets.len(), 1);
    assert_eq!(sockets[0].descriptors.len(), 2, "the group is not whole");
    drop(sockets);
    version.hand_over.take_back();
    assert_eq!(called(address).await.status, 200);
    drop(version.stop);
    assert_eq!(version.served.await.unwrap(), Drained::Clean);
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(version.hand_over.sockets().unwrap().len(), 0);
}

#[tokio::test]
async fn a_unix_socket_keeps_its_file_until_the_last_server_ends() {
    let function = upstream::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.sock");
    let version = first(workers(1), &format!("unix:{}", path.display()), function);
    let (after, ended) = next(version, workers(2), function);
    assert_eq!(ended.await.unwrap(), Drained::Clean);
    let mut client = UnixStream::connect(&path).await.unwrap();
    let head = b"GET /function/f/x HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert_eq!(Reply::read_to_end(&mut client).await.status, 200);
    drop(after.stop);
    assert_eq!(after.served.await.unwrap(), Drained::Clean);
    assert!(!path.exists(), "the file was left behind");
}

/// As a service manager does: it listens, and each server gets a copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_managers_socket_refuses_nobody_while_no_server_runs() {
    let function = upstream::start().await;
    let kept = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = kept.local_addr().unwrap();
    for count in [1, 2, 3] {
        let config = workers(count);
        let mut listeners = Listeners::new(&config, None);
        let copy = HandedSocket::inherited(Purpose::All, kept.try_clone().unwrap());
        listeners.offer(copy).unwrap();
        assert!(listeners.is_offered(Purpose::All) && !listeners.is_offered(Purpose::System));
        assert!(listeners.adopt(Purpose::All, Purpose::All).unwrap());
        // It waits since before there is a server.
        let waiting = tokio::spawn(called(address));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let version = serve(config, listeners, function);
        assert_eq!(waiting.await.unwrap().status, 200);
        drop(version.stop);
        assert_eq!(version.served.await.unwrap(), Drained::Clean);
    }
}

#[tokio::test]
async fn an_address_that_is_asked_for_is_taken_from_what_was_offered() {
    let function = upstream::start().await;
    let version = first(workers(1), "127.0.0.1:0", function);
    let copies = || version.hand_over.sockets().unwrap();
    let bound = tcp(&version.address).to_string();
    for wanted in ["127.0.0.1:0", &bound] {
        let mut listeners = Listeners::new(&workers(1), None);
        copies()
            .into_iter()
            .for_each(|it| listeners.offer(it).unwrap());
        listeners.bind(Purpose::All, wanted).unwrap();
        assert_eq!(listeners.addresses().next(), Some(&version.address));
        assert_eq!(listeners.taken(), [0]);
    }
    let mut listeners = Listeners::new(&workers(1), None);
    copies()
        .into_iter()
        .for_each(|it| listeners.offer(it).unwrap());
    listeners.bind(Purpose::All, "127.0.0.2:0").unwrap();
    assert_ne!(listeners.addresses().next(), Some(&version.address));
    assert_eq!(listeners.taken(), [] as [usize; 0]);
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let offered = |descriptor: OwnedFd| {
        let mut listeners = Listeners::new(&workers(1), None);
        let refused = listeners.offer(HandedSocket::inherited(Purpose::All, descriptor));
        let Err(error @ ServeError::Inherited(_)) = refused else {
            panic!("{refused:?}")
        };
        std::error::Error::source(&error).unwrap().to_string()
    };
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(offered(file.into()).contains("no socket"));
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(offered(datagrams.into()).contains("ListenStream"));
    let listener = UnixListener::bind(directory.path().join("s")).unwrap();
    let connection = std::os::unix::net::UnixStream::connect(directory.path().join("s")).unwrap();
    assert!(offered(connection.into()).contains("Accept=no"));
    drop(listener);
}

#[tokio::test]
async fn an_offered_address_that_others_reach_asks_for_credentials_too() {
    let open = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let mut listeners = Listeners::new(&workers(1), None);
    let socket = HandedSocket::inherited(Purpose::All, open);
    listeners.offer(socket).unwrap();
    let refused = listeners.adopt(Purpose::All, Purpose::All);
    assert!(
        matches!(refused, Err(ServeError::Unprotected { .. })),
        "{refused:?}"
    );
}
