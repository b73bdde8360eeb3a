//! Connections: pooling, retries, replicas that take none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use provider_proxy::Proxy;
use provider_types::{Endpoint, Report, UpstreamProtocol};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;

use crate::support::{
    Functions, SOON, Wire, ask, front, function, get, header, replying, serve, soon, until,
};

const POST: &str = "POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\
                    Connection: close\r\n\r\nhello";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn nobody_listens() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn one_connection_carries_one_call_after_another() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let counting = function(move |_, mut wire| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while wire.through("hello").await.is_some() {
                wire.send(OK).await;
            }
        }
    })
    .await;
    let front = front(&Functions::at(counting)).await;
    for _ in 0..10 {
        assert!(ask(front, POST).await.ends_with("ok"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_post_on_a_connection_that_was_closed_meanwhile_runs_once_on_a_new_one() {
    let (runs, close) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, shut) = (Arc::clone(&runs), Arc::clone(&close));
    let closing = function(move |_, mut wire| {
        let (count, shut) = (Arc::clone(&count), Arc::clone(&shut));
        async move {
            wire.through("hello").await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            wire.send(OK).await;
            shut.notified().await;
        }
    })
    .await;
    // No await between the function's close and the next call but the connect of the caller, so
    // that the proxy's runtime may well not have seen the close: the race of a pool.
    let front = front(&Functions::at(closing)).await;
    for round in 1..=50 {
        let reply = ask(front, POST).await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "round {round}: {reply}");
        assert_eq!(runs.load(Ordering::SeqCst), round);
        close.notify_one();
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_close_that_the_runtime_was_not_told_of_is_seen() {
    use std::io::{Read, Write};

    // A blocking function and a proxy on one thread: while the test closes the function's side,
    // the proxy's runtime cannot run, so it learns of nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let functions = Functions::at(listener.local_addr().unwrap());
    let serve_one = move |listener: &std::net::TcpListener| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        while !seen.ends_with(b"hello") {
            let count = stream.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(OK.as_bytes()).unwrap();
        stream
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let proxy = Proxy::builder(functions).build();
    let call = || {
        let request = http::Request::post("/function/f")
            .header("host", "h")
            .body(http_body_util::Full::<bytes::Bytes>::from("hello"))
            .unwrap();
        let call = proxy.call_from(None, request);
        async {
            let response = call.await;
            let status = response.status();
            use http_body_util::BodyExt as _;
            response.into_body().collect().await.unwrap();
            status
        }
    };
    for _ in 0..20 {
        let (status, stream) = std::thread::scope(|scope| {
            let serving = scope.spawn(|| serve_one(&listener));
            let status = runtime.block_on(call());
            if status != 200 {
                // Nobody came; let the function end.
                std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            }
            (status, serving.join().unwrap())
        });
        assert_eq!(status, 200);
        drop(stream);
    }
}

#[tokio::test]
async fn nothing_runs_twice_once_the_function_can_have_seen_it() {
    for method in ["GET", "POST", "DELETE"] {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let fickle = function(move |_, mut wire| {
            let count = Arc::clone(&count);
            async move {
                wire.head().await;
                wire.send(OK).await;
                // The second call is read and answered with a close.
                if wire.through("\r\n\r\n").await.is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await;
        let front = front(&Functions::at(fickle)).await;
        let request =
            format!("{method} /function/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(ask(front, &request).await.ends_with("ok"));
        let reply = ask(front, &request).await;
        assert!(reply.starts_with("HTTP/1.1 502 "), "{method}: {reply}");
        assert_eq!(
            header(&reply, "x-openfaas-reason").as_deref(),
            Some("upstream-closed")
        );
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{method}");
    }
}

#[tokio::test]
async fn a_connection_on_which_something_came_unasked_is_not_used() {
    let asked = Arc::new(Notify::new());
    let gate = Arc::clone(&asked);
    let babbling = function(move |count, mut wire| {
        let gate = Arc::clone(&gate);
        async move {
            wire.head().await;
            wire.send(OK).await;
            if count == 0 {
                gate.notified().await;
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
                    .await;
            }
            wire.rest().await;
        }
    })
    .await;
    let front = front(&Functions::at(babbling)).await;
    assert!(get(front, "/function/f").await.ends_with("ok"));
    asked.notify_one();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(get(front, "/function/f").await.ends_with("ok"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_its_server_does_it() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let waiting = function(move |_, mut wire| {
        let tell = tell.clone();
        async move {
            wire.head().await;
            wire.send(OK).await;
            let since = tokio::time::Instant::now();
            wire.closed().await;
            tell.send(since.elapsed()).await.unwrap();
        }
    })
    .await;
    assert!(
        get(front(&Functions::at(waiting)).await, "/function/f")
            .await
            .ends_with("ok")
    );
    let age = soon("closing it", told.recv()).await.unwrap();
    assert!(age < Duration::from_secs(5), "it was idle for {age:?}");
}

#[tokio::test]
async fn no_more_connections_stay_idle_than_allowed() {
    let open = Arc::new(AtomicUsize::new(0));
    let together = Arc::new(tokio::sync::Barrier::new(4));
    let (count, all) = (Arc::clone(&open), Arc::clone(&together));
    let counting = function(move |_, mut wire| {
        let (count, all) = (Arc::clone(&count), Arc::clone(&all));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            wire.head().await;
            all.wait().await;
            wire.send(OK).await;
            wire.closed().await;
            count.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let front = serve(
        Proxy::builder(Functions::at(counting))
            .max_idle_per_replica(1)
            .build(),
    )
    .await;
    let calls: Vec<_> = (0..4)
        .map(|_| tokio::spawn(get(front, "/function/f")))
        .collect();
    for call in calls {
        assert!(call.await.unwrap().ends_with("ok"));
    }
    until("closing three of four", || open.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_replica_that_takes_no_connection_is_reported_and_another_one_taken() {
    let functions = Functions::default().with(
        "f",
        [
            Endpoint::tcp(nobody_listens().await),
            Endpoint::tcp(replying(OK).await),
        ],
    );
    let reply = get(front(&functions).await, "/function/f").await;
    assert!(reply.ends_with("ok"), "{reply}");
    functions.all_given_back().await;
    assert_eq!(
        functions.reports(),
        [Report::Refused, Report::FirstByte, Report::Done]
    );
    assert_eq!(
        functions.held_when_avoiding(),
        Some(0),
        "the refused lease was not given back first"
    );
}

#[tokio::test]
async fn where_no_replica_takes_a_connection_the_call_is_502() {
    for replicas in [1, 2] {
        let mut all = Vec::new();
        for _ in 0..replicas {
            all.push(Endpoint::tcp(nobody_listens().await));
        }
        let functions = Functions::default().with("f", all);
        let reply = ask(front(&functions).await, POST).await;
        assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
        assert_eq!(
            header(&reply, "x-openfaas-reason").as_deref(),
            Some("connect-failed")
        );
        assert!(
            reply.ends_with("\r\n\r\nCan't reach service for: f. It takes no connection.\n"),
            "{reply}"
        );
        functions.all_given_back().await;
        assert_eq!(functions.reports(), vec![Report::Refused; replicas]);
    }
}

#[tokio::test]
async fn a_connect_that_takes_too_long_is_504() {
    // A listener whose backlog is full answers no further connection. The kernel's backlog of 0
    // holds one.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(
        Duration::from_millis(100),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        held.push(stream);
    }
    let budgets = provider_proxy::Budgets {
        connect: Duration::from_millis(100),
        ..provider_proxy::Budgets::default()
    };
    let front = crate::support::front_within(&Functions::at(address), budgets).await;
    let reply = get(front, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-reason").as_deref(),
        Some("connect-timeout")
    );
    assert!(
        reply.ends_with("within 100ms (connect_timeout).\n"),
        "{reply}"
    );
    drop(held);
}

#[tokio::test]
async fn functions_on_unix_sockets_and_by_host_name_are_reached() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while matches!(stream.read(&mut buffer).await, Ok(1..)) {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let port = replying(OK).await.port();
    let functions = Functions::default()
        .with("f", [Endpoint::unix(path)])
        .with("g", [Endpoint::host("localhost", port)])
        .with("h", [Endpoint::unix(directory.path().join("none.sock"))]);
    let front = front(&functions).await;
    for _ in 0..2 {
        assert!(get(front, "/function/f").await.ends_with("ok"));
        assert!(get(front, "/function/g").await.ends_with("ok"));
    }
    assert!(get(front, "/function/h").await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn a_replica_of_http_2_is_a_clear_502() {
    let mut endpoint = Endpoint::tcp(nobody_listens().await);
    endpoint.protocol = UpstreamProtocol::H2c;
    let reply = get(front(&Functions::one(endpoint)).await, "/function/f").await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
    assert_eq!(
        header(&reply, "x-openfaas-reason").as_deref(),
        Some("unsupported")
    );
}

#[test]
fn a_proxy_outlives_the_runtime_that_it_was_used_on() {
    let background = tokio::runtime::Runtime::new().unwrap();
    let functions = Functions::at(background.block_on(replying(OK)));
    let proxy = Proxy::builder(functions).build();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let request = http::Request::get("/function/f")
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .unwrap();
        let response = runtime.block_on(async {
            let response = tokio::time::timeout(SOON, proxy.call_from(None, request)).await;
            use http_body_util::BodyExt as _;
            let (head, body) = response.unwrap().into_parts();
            (head.status, body.collect().await.unwrap().to_bytes())
        });
        assert_eq!(response, (http::StatusCode::OK, "ok".into()));
    }
}

#[tokio::test]
async fn workers_have_pools_of_their_own() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let counting = function(move |_, mut wire| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while wire.through("\r\n\r\n").await.is_some() {
                wire.send(OK).await;
            }
        }
    })
    .await;
    let proxy = Proxy::builder(Functions::at(counting)).build();
    let (first, second) = (serve(proxy.for_worker()).await, serve(proxy).await);
    for front in [first, second, first, second] {
        assert!(get(front, "/function/f").await.ends_with("ok"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_new_connection_that_is_closed_at_once_is_not_tried_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let closing = function(move |_, wire| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { drop(wire) }
    })
    .await;
    let mut caller = Wire::connect(front(&Functions::at(closing)).await).await;
    caller.send(POST).await;
    let reply = caller.rest().await;
    assert!(reply.starts_with("HTTP/1.1 502 "), "{reply}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
