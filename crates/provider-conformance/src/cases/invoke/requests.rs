//! What of a call reaches the function.

use super::super::steps::shown;
use super::{bytes, echo, received, sha256, text};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};
use crate::wire::Request;

pub(in crate::cases) const CASES: &[Case] = cases! { "invoke";
    paths_reach_the_function: ["OFP-INV-001", "OFP-INV-002"],
    queries_reach_the_function: ["OFP-INV-003"],
    paths_keep_their_bytes: ["OFP-INV-004", "OFP-INV-005"],
    methods_reach_the_function: ["OFP-INV-006", "OFP-INV-007", "OFP-INV-008", "OFP-INV-009"],
    bodies_reach_the_function: ["OFP-INV-010", "OFP-INV-011", "OFP-INV-012", "OFP-INV-013"],
    headers_reach_the_function: ["OFP-INV-014", "OFP-INV-017", "OFP-INV-018", "OFP-INV-019"],
    headers_of_a_connection_do_not: ["OFP-INV-015", "OFP-INV-016"],
};

async fn paths_reach_the_function(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (id, rest, wanted) in [
        ("OFP-INV-001", "", "/"),
        ("OFP-INV-002", "/", "/"),
        ("OFP-INV-002", "/a", "/a"),
        ("OFP-INV-002", "/a/", "/a/"),
        ("OFP-INV-002", "/a/b/", "/a/b/"),
        ("OFP-INV-002", "/function/b", "/function/b"),
        ("OFP-INV-002", "/system/info", "/system/info"),
    ] {
        let answer = cx.get(&function.path(rest)).await?;
        let echo = echo(&answer);
        cx.check(id, text(&echo, "/target") == wanted, || {
            let path = function.path(rest);
            format!(
                "a call of {path} reached the function as {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn queries_reach_the_function(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for query in [
        "a=1",
        "a=1&a=2&b",
        "q=%2B+%20&r=%25",
        "x=a/b?c&y=;&z=%C3%BC",
        "=&&",
        "url=http://x/y%23z",
    ] {
        let answer = cx.get(&function.path(&format!("/q?{query}"))).await?;
        let echo = echo(&answer);
        cx.check(
            "OFP-INV-003",
            text(&echo, "/target") == format!("/q?{query}"),
            || {
                format!(
                    "the query {query} reached the function in {:?}",
                    text(&echo, "/target")
                )
            },
        );
    }
    Ok(())
}

async fn paths_keep_their_bytes(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (id, path) in [
        ("OFP-INV-004", "/a%2Fb"),
        ("OFP-INV-004", "/a%2fb%3Bc;d"),
        ("OFP-INV-004", "/(a)!'*[]"),
        ("OFP-INV-004", "/a%20b%25"),
        ("OFP-INV-004", "/%C3%BC%E2%82%AC"),
        ("OFP-INV-004", "/~u/@v:w,x=y&z$+"),
        ("OFP-INV-005", "//a"),
        ("OFP-INV-005", "/a//b///"),
        ("OFP-INV-005", "/a%0Ab"),
    ] {
        let answer = cx.get(&function.path(path)).await?;
        let echo = echo(&answer);
        cx.check(id, text(&echo, "/target") == path, || {
            format!("the path {path} gave {}", answer.shown())
        });
    }
    Ok(())
}

async fn methods_reach_the_function(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let answer = cx.send(Request::new(method, function.path("/m"))).await?;
        let echo = echo(&answer);
        cx.check("OFP-INV-006", text(&echo, "/method") == method, || {
            format!("a call with {method} gave {}", answer.shown())
        });
    }
    // A body behind the answer to HEAD would be taken for the next answer.
    let mut connection = cx.connect().await?;
    let head = Request::new("HEAD", function.path("/m"));
    let first = connection.call(&cx.prepare(head)).await;
    let next = connection
        .call(&cx.prepare(Request::get(function.path("/next"))))
        .await;
    let fits = next
        .as_ref()
        .is_ok_and(|next| text(&echo(next), "/target") == "/next")
        || next.as_ref().is_err_and(crate::wire::WireError::is_end);
    cx.check("OFP-INV-007", first.is_ok() && fits, || {
        let (first, next) = (shown(&first), shown(&next));
        format!("HEAD was answered with {first}, the call behind it with {next}")
    });
    for method in ["HEAD", "OPTIONS"] {
        let id = cx.name();
        let call =
            Request::new(method, function.path("/m")).header("X-Do", format!("echo?id={id}"));
        let answer = cx.send(call).await?;
        let calls = cx
            .get(&function.path(&format!("/do/calls?id={id}")))
            .await?;
        let calls = echo(&calls);
        cx.check(
            "OFP-INV-008",
            text(&calls, "/calls/0/method") == method,
            || {
                format!(
                    "{method} was answered with {}; the function saw {calls}",
                    answer.status()
                )
            },
        );
    }
    let answer = cx
        .send(Request::new("PROPFIND", function.path("/m")))
        .await?;
    let reached = text(&echo(&answer), "/method") == "PROPFIND";
    cx.check(
        "OFP-INV-009",
        reached || matches!(answer.status(), 405 | 501),
        || format!("a call with PROPFIND gave {}", answer.shown()),
    );
    Ok(())
}

async fn bodies_reach_the_function(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for size in [0, 1, 1 << 20] {
        let body = bytes(size);
        let request = Request::post(function.path("/b")).body(body.clone());
        let answer = cx.send(request).await?;
        let echo = echo(&answer);
        cx.check(
            "OFP-INV-010",
            text(&echo, "/body/sha256") == sha256(&body),
            || format!("a body of {size} bytes gave {}", answer.shown()),
        );
        if size > 0 {
            let framing = text(&echo, "/body/framing");
            cx.check("OFP-INV-012", framing == "length", || {
                format!("a body of {size} stated bytes reached the function {framing:?}")
            });
        }
    }
    let chunked = Request::post(function.path("/b")).chunked(["hello, ", "chunks"]);
    let answer = cx.send(chunked).await?;
    let echo_of = echo(&answer);
    let whole = text(&echo_of, "/body/sha256") == sha256(b"hello, chunks");
    cx.check("OFP-INV-011", whole, || {
        format!("a body in two chunks gave {}", answer.shown())
    });
    for method in ["GET", "DELETE", "OPTIONS"] {
        let request = Request::new(method, function.path("/b")).body("hello");
        let answer = cx.send(request).await?;
        let echo = echo(&answer);
        cx.check(
            "OFP-INV-013",
            text(&echo, "/body/sha256") == sha256(b"hello"),
            || format!("a body with {method} gave {}", answer.shown()),
        );
    }
    Ok(())
}

async fn headers_reach_the_function(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let sent: [(&str, &[&str]); 8] = [
        ("Authorization", &["Bearer of-the-function"]),
        ("Cookie", &["a=1; b=2"]),
        ("X-Call-Id", &["conformance"]),
        ("X-Twice", &["one", "two"]),
        ("X-Empty", &[""]),
        ("X-List", &["a, b,, c"]),
        ("Accept", &["text/plain;q=0.5, */*"]),
        ("Content-Type", &["application/x-example; a=\"b\""]),
    ];
    let mut request = Request::post(function.path("/h")).body("x");
    for (name, values) in sent {
        for value in values {
            request = request.header(name, value);
        }
    }
    let answer = cx.send(request).await?;
    let echo_of = echo(&answer);
    for (name, values) in sent {
        let got = received(&echo_of, name);
        // Lines of one name may have been joined. RFC 9110 5.3.
        let same = got == values || got == [values.join(", ")];
        cx.check("OFP-INV-014", same, || {
            format!("`{name}` was sent with {values:?} and reached the function with {got:?}")
        });
    }
    let bare = cx.get(&function.path("/h")).await?;
    let bare = echo(&bare);
    for name in ["Accept-Encoding", "User-Agent"] {
        let added = received(&bare, name);
        cx.check("OFP-INV-017", added.is_empty(), || {
            format!("a call without `{name}` reached the function with {added:?}")
        });
    }
    let host = "conformance.example:8099";
    let named = Request::get(function.path("/h")).header("Host", host);
    let named = echo(&cx.send(named).await?);
    let (own, forwarded) = (
        received(&named, "Host"),
        received(&named, "X-Forwarded-Host"),
    );
    let told = own == [host] || forwarded.iter().any(|value| value == host);
    cx.check("OFP-INV-018", told, || {
        format!("the host {host} reached the function as {own:?}, forwarded {forwarded:?}")
    });
    let through = received(&bare, "X-Forwarded-For").join(", ");
    let last = through
        .rsplit(',')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let bare_address = last.parse::<std::net::IpAddr>().is_ok();
    let no_address = cx.address().to_string().starts_with("unix:");
    cx.check("OFP-INV-019", bare_address || no_address, || {
        format!("`X-Forwarded-For` reached the function as {through:?}")
    });
    Ok(())
}

async fn headers_of_a_connection_do_not(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let request = Request::get(function.path("/h"))
        .header("Connection", "X-Hop, keep-alive")
        .header("X-Hop", "mine")
        .header("Keep-Alive", "timeout=7")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic bWU6bWU=")
        .header("TE", "gzip;q=0.5");
    let answer = cx.send(request).await?;
    let echo = echo(&answer);
    if text(&echo, "/method").is_empty() {
        return Err(Stop::Setup(format!("the call gave {}", answer.shown())));
    }
    let hop = received(&echo, "X-Hop");
    cx.check("OFP-INV-015", hop.is_empty(), || {
        format!("`X-Hop`, which `Connection` names, reached the function with {hop:?}")
    });
    let connection = received(&echo, "Connection").join(", ");
    cx.check(
        "OFP-INV-015",
        !connection.to_ascii_lowercase().contains("x-hop"),
        || format!("`Connection` reached the function with {connection:?}"),
    );
    for (name, sent) in [
        ("Keep-Alive", "timeout=7"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic bWU6bWU="),
        ("TE", "gzip;q=0.5"),
    ] {
        let got = received(&echo, name);
        cx.check(
            "OFP-INV-016",
            !got.iter().any(|value| value == sent),
            || format!("`{name}: {sent}` reached the function"),
        );
    }
    Ok(())
}
