//! The header policy on the wire.

use provider_proxy::{HeaderPolicy, TrustedProxy};

use crate::support::{Functions, ask, front, front_with, header, mirror, replying};

fn calls() -> HeaderPolicy {
    HeaderPolicy {
        call_headers: true,
        ..HeaderPolicy::default()
    }
}

#[tokio::test]
async fn what_an_untrusted_caller_claims_of_others_is_dropped() {
    let functions = Functions::at(mirror().await);
    let request = "GET /function/f HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\
                   X-Forwarded-Host: bank\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
                   X-Forwarded-Prefix: /x\r\nForwarded: for=1.2.3.4\r\nConnection: close\r\n\r\n";
    let nets = |text: &str| HeaderPolicy {
        trusted_proxies: vec![text.parse().unwrap(), TrustedProxy::UNIX],
        ..HeaderPolicy::default()
    };
    let seen = ask(front_with(&functions, nets("10.0.0.0/8")).await, request).await;
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-host", Some("h")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-port", None),
        ("x-forwarded-prefix", None),
        ("forwarded", None),
    ] {
        assert_eq!(header(&seen, name).as_deref(), value, "{name}");
    }
    let seen = ask(front_with(&functions, nets("127.0.0.1")).await, request).await;
    for (name, value) in [
        ("x-forwarded-for", "1.2.3.4, 127.0.0.1"),
        ("x-forwarded-host", "bank"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/x"),
        ("forwarded", "for=1.2.3.4"),
    ] {
        assert_eq!(header(&seen, name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn connection_cannot_name_away_host_length_or_the_peer() {
    let seen = ask(
        front(&Functions::at(mirror().await)).await,
        "POST /function/f HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nAuthorization: x\r\n\
         Connection: close, Host, Content-Length, X-Forwarded-For, not a token\r\n\r\nok",
    )
    .await;
    assert!(seen.starts_with("HTTP/1.1 200 "), "{seen}");
    let seen = seen.split_once("\r\n\r\n").unwrap().1;
    for (name, value) in [
        ("host", "h"),
        ("content-length", "2"),
        ("x-forwarded-for", "127.0.0.1"),
        ("authorization", "x"),
    ] {
        assert_eq!(header(seen, name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_standalone_provider_stamps_calls_as_the_gateway_does() {
    let front = front_with(&Functions::at(mirror().await), calls()).await;
    let reply = ask(
        front,
        "GET /function/f HTTP/1.1\r\nHost: h\r\nX-Start-Time: 1\r\nConnection: close\r\n\r\n",
    )
    .await;
    let (head, seen) = reply.split_once("\r\n\r\n").unwrap();
    let id = header(head, "x-call-id").unwrap();
    assert_eq!(header(seen, "x-call-id").as_deref(), Some(&*id));
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{id}");
    assert!(
        id.chars().all(|c| c == '-' || c.is_ascii_hexdigit()),
        "{id}"
    );
    assert_eq!(&id[14..15], "4", "the version of {id}");
    assert!("89ab".contains(&id[19..20]), "the variant of {id}");
    let time = header(head, "x-start-time").unwrap();
    assert_eq!(header(seen, "x-start-time").as_deref(), Some(&*time));
    assert!(
        time.parse::<u64>().unwrap() > 1_600_000_000_000_000_000,
        "{time}"
    );

    let again = ask(
        front,
        "GET /function/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_ne!(header(&again, "x-call-id").unwrap(), id, "ids repeat");
}

#[tokio::test]
async fn a_callers_own_id_is_kept_and_errors_are_stamped_too() {
    let front = front_with(&Functions::at(mirror().await), calls()).await;
    for path in ["f", "none"] {
        let reply = ask(
            front,
            &format!(
                "GET /function/{path} HTTP/1.1\r\nHost: h\r\nX-Call-Id: mine\r\n\
                 Connection: close\r\n\r\n"
            ),
        )
        .await;
        let head = reply.split_once("\r\n\r\n").unwrap().0;
        assert_eq!(header(head, "x-call-id").as_deref(), Some("mine"));
        assert!(header(head, "x-start-time").is_some());
    }
}

#[tokio::test]
async fn behind_a_gateway_nothing_is_stamped() {
    let reply = ask(
        front(&Functions::at(mirror().await)).await,
        "GET /function/f HTTP/1.1\r\nHost: h\r\nX-Call-Id: gateways\r\nConnection: close\r\n\r\n",
    )
    .await;
    let (head, seen) = reply.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(head, "x-call-id"), None);
    assert_eq!(header(seen, "x-call-id").as_deref(), Some("gateways"));
    assert_eq!(header(seen, "x-start-time"), None);
}

#[tokio::test]
async fn what_the_function_says_of_itself_wins_and_stands_there_once() {
    let stamped = replying(
        "HTTP/1.1 200 OK\r\nX-Call-Id: functions\r\nX-Start-Time: 7\r\nDate: then\r\n\
         Server: mine\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let reply = ask(
        front_with(&Functions::at(stamped), calls()).await,
        "GET /function/f HTTP/1.1\r\nHost: h\r\nX-Call-Id: callers\r\nConnection: close\r\n\r\n",
    )
    .await;
    for (name, value) in [
        ("x-call-id", "functions"),
        ("x-start-time", "7"),
        ("date", "then"),
        ("server", "mine"),
    ] {
        assert_eq!(header(&reply, name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn traces_credentials_and_cookies_pass_untouched() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let seen = ask(
        front(&Functions::at(mirror().await)).await,
        &format!(
            "GET /function/f HTTP/1.1\r\nHost: h\r\ntraceparent: {trace}\r\n\
             Authorization: Bearer x\r\nCookie: a=b\r\nCookie: c=d\r\nUser-Agent: mine\r\n\
             Accept-Encoding: br\r\nConnection: close\r\n\r\n"
        ),
    )
    .await;
    for (name, value) in [
        ("traceparent", trace),
        ("authorization", "Bearer x"),
        ("cookie", "a=b | c=d"),
        ("user-agent", "mine"),
        ("accept-encoding", "br"),
    ] {
        assert_eq!(header(&seen, name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_caller_without_host_gives_the_function_one() {
    let seen = ask(
        front(&Functions::at(mirror().await)).await,
        "GET /function/f HTTP/1.0\r\n\r\n",
    )
    .await;
    assert_eq!(header(&seen, "host").as_deref(), Some("localhost"));
}
