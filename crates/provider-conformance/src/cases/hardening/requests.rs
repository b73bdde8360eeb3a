//! Requests that are not as HTTP has them.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::super::steps::shown;
use super::{calls, follower, head, path, throw, throw_each, throw_while};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Function, Stop};
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "hardening";
    chunks_and_a_length: ["OFP-HRD-001", "OFP-HRD-022"],
    lengths_that_are_none: ["OFP-HRD-002", "OFP-HRD-022"],
    encodings_that_are_none: ["OFP-HRD-003", "OFP-HRD-022"],
    what_follows_a_refusal_is_not_run: ["OFP-HRD-004", "OFP-HRD-022"],
    one_host: ["OFP-HRD-005", "OFP-HRD-022"],
    header_lines_that_are_none: ["OFP-HRD-006", "OFP-HRD-007", "OFP-HRD-008", "OFP-HRD-022"],
    chunks_that_are_none: ["OFP-HRD-009", "OFP-HRD-022"],
    bodies_that_end_too_early: ["OFP-HRD-010", "OFP-HRD-022"],
    targets_that_are_none: ["OFP-HRD-011", "OFP-HRD-022"],
    what_is_no_http: ["OFP-HRD-012", "OFP-HRD-022"],
    dots_do_not_lead_out: ["OFP-HRD-013"],
};

/// Judges that others are served, behind hostile input.
async fn still_serves(cx: &Context, function: &Function) {
    let call = cx.try_send(Request::get(function.path("/"))).await;
    let health = cx.try_send(Request::get("/healthz")).await;
    let served = [&call, &health]
        .into_iter()
        .all(|answer| answer.as_ref().is_ok_and(Answer::is_success));
    cx.check("OFP-HRD-022", served, || {
        let (call, health) = (shown(&call), shown(&health));
        format!("after that a call was answered with {call}, and /healthz with {health}")
    });
}

/// How many bytes of a body the function says to have received.
fn size(echo: &Value) -> Option<u64> {
    echo.pointer("/body/size").and_then(Value::as_u64)
}

async fn chunks_and_a_length(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let start = head(cx, "POST", &path(cx, &function, "/do/echo"));
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let next = follower(cx, &function, "behind");
        let bytes = format!("{start}{lines}\r\n3\r\nabc\r\n0\r\n\r\n{next}");
        let met = throw_while(cx, bytes.as_bytes(), |_| true).await?;
        let by_chunks = met.echo().is_some_and(|echo| size(&echo) == Some(3));
        let good = met.is_refused() || by_chunks && met.answers.len() == 1 && met.is_closed();
        cx.check("OFP-HRD-001", good, || {
            format!("{lines:?}: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn lengths_that_are_none(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let start = head(cx, "POST", &path(cx, &function, "/do/echo"));
    let lines = [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 3",
        "Content-Length: 3, 4",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 0x3",
        "Content-Length: 3a",
        "Content-Length: three",
    ];
    let each = lines
        .into_iter()
        .map(|lines| (lines, format!("{start}{lines}\r\n\r\nabc")));
    for (lines, met) in throw_each(cx, each.collect()).await? {
        cx.check("OFP-HRD-002", met.is_refused_with(400), || {
            format!("{lines:?}: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn encodings_that_are_none(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let start = head(cx, "POST", &path(cx, &function, "/do/echo"));
    let lines = [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked-not",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\tchunked",
        "TRANSFER-ENCODING: CHUNKED",
    ];
    let body = "3\r\nabc\r\n0\r\n\r\n";
    let each = lines
        .into_iter()
        .map(|line| (line, format!("{start}{line}\r\n\r\n{body}")));
    for (line, met) in throw_each(cx, each.collect()).await? {
        // Read as what it may be taken for, or refused.
        let by_chunks = met.echo().is_some_and(|echo| size(&echo) == Some(3));
        cx.check("OFP-HRD-003", by_chunks || met.is_refused(), || {
            format!("{line:?}: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn what_follows_a_refusal_is_not_run(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let start = head(cx, "POST", &path(cx, &function, "/do/echo"));
    let hostile = [
        format!("{start}Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
        format!("{start}Transfer-Encoding: xchunked\r\n\r\n"),
        format!("{start}X-A : b\r\n\r\n"),
        format!("{start}Content-Length: 3a\r\n\r\n"),
    ];
    let each = hostile.into_iter().enumerate().map(|(number, hostile)| {
        let id = format!("behind-{number}");
        let bytes = format!("{hostile}{}", follower(cx, &function, &id));
        ((id, hostile), bytes)
    });
    for ((id, hostile), met) in throw_each(cx, each.collect()).await? {
        let refused = met
            .answers
            .first()
            .is_none_or(|first| first.status() >= 400);
        let run = calls(cx, &function, &id).await?;
        cx.check("OFP-HRD-004", !refused || run.is_empty(), || {
            format!("behind {hostile:?} a call was run: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn one_host(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let target = path(cx, &function, "/");
    let each = [
        format!("GET {target} HTTP/1.1\r\n\r\n"),
        format!("{}Host: other\r\n\r\n", head(cx, "GET", &target)),
        "GET /system/info HTTP/1.1\r\n\r\n".to_owned(),
    ];
    for (bytes, met) in throw_each(cx, each.map(|bytes| (bytes.clone(), bytes)).to_vec()).await? {
        let first = met.answers.first().map(Answer::status);
        cx.check("OFP-HRD-005", first == Some(400), || {
            format!("{bytes:?}: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn header_lines_that_are_none(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let start = head(cx, "GET", &path(cx, &function, "/do/echo"));
    let met = throw(cx, format!("{start}X-A : b\r\n\r\n").as_bytes()).await?;
    let first = met.answers.first().map(Answer::status);
    cx.check("OFP-HRD-006", first == Some(400), || met.shown());

    let received = |echo: &Value| -> Option<String> {
        let headers = echo.get("headers").and_then(Value::as_array)?;
        let named = headers.iter().find(|pair| {
            let name = pair.get(0).and_then(Value::as_str);
            name.is_some_and(|name| name.eq_ignore_ascii_case("x-a"))
        });
        named?.get(1)?.as_str().map(str::to_owned)
    };
    let met = throw(cx, format!("{start}X-A: a\r\n b\r\n\r\n").as_bytes()).await?;
    let value = met.echo().as_ref().and_then(received).unwrap_or_default();
    let unfolded = value.split_whitespace().eq(["a", "b"]) && !value.contains(['\r', '\n']);
    let first = met.answers.first().map(Answer::status);
    cx.check("OFP-HRD-007", first == Some(400) || unfolded, || {
        format!("a folded line: {}", met.shown())
    });

    for hostile in ["a\0b", "a\rb"] {
        let met = throw(cx, format!("{start}X-A: {hostile}\r\n\r\n").as_bytes()).await?;
        let value = met.echo().as_ref().and_then(received);
        let replaced = value.is_some_and(|value| value == "a b");
        let refused = met.is_turned_down();
        cx.check("OFP-HRD-008", refused || replaced, || {
            format!("the value {hostile:?}: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn chunks_that_are_none(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let hostile = [
        "zz\r\nab\r\n0\r\n\r\n",
        "\r\nab\r\n0\r\n\r\n",
        "-1\r\nab\r\n0\r\n\r\n",
        "0x2\r\nab\r\n0\r\n\r\n",
        "10000000000000002\r\nab\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
    ];
    let each = hostile.into_iter().enumerate().map(|(number, hostile)| {
        let id = format!("chunk-{number}");
        let target = path(cx, &function, &format!("/do/echo?id={id}"));
        let start = head(cx, "POST", &target);
        let bytes = format!("{start}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{hostile}");
        ((id, hostile), bytes)
    });
    for ((id, hostile), met) in throw_each(cx, each.collect()).await? {
        never_complete(cx, &function, "OFP-HRD-009", &id, || {
            format!("with the chunk {hostile:?}: {}", met.shown())
        })
        .await?;
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn bodies_that_end_too_early(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (id, rest) in [
        ("short", "Content-Length: 100\r\n\r\nabc"),
        ("unended", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        ("within", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    ] {
        let target = path(cx, &function, &format!("/do/echo?id={id}"));
        let mut connection = cx.connect().await?;
        connection.set_limit(cx.timeouts().prompt);
        let bytes = format!("{}{rest}", head(cx, "POST", &target));
        let _ = connection.write(bytes.as_bytes()).await;
        let _ = connection.finish().await;
        let _ = connection.until_end().await;
        drop(connection);
        never_complete(cx, &function, "OFP-HRD-010", id, || {
            format!("after {rest:?} the caller has left")
        })
        .await?;
    }
    still_serves(cx, &function).await;
    Ok(())
}

/// Judges that no call with this id has a body that is complete.
async fn never_complete(
    cx: &Context,
    function: &Function,
    id: &'static str,
    call: &str,
    what: impl Fn() -> String,
) -> Result<(), Stop> {
    let listed = calls(cx, function, call).await?;
    let complete = listed
        .iter()
        .find(|one| one.get("complete").and_then(Value::as_bool) == Some(true));
    cx.check(id, complete.is_none(), || {
        let seen = complete.unwrap_or(&Value::Null);
        format!("{}; the function has seen {seen}", what())
    });
    Ok(())
}

/// Whether a status says that the request was at fault; 505 where a blank in its target makes what
/// follows the version.
fn is_fault_of_the_request(status: u16) -> bool {
    (400..500).contains(&status) || status == 505
}

async fn targets_that_are_none(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let each = [
        "/do/echo x",
        "/do/echo\tx",
        "/do/echo\u{1}",
        "/do/echo?a=%zz",
        "/do%",
        "/%zz",
    ];
    let each = each.into_iter().map(|rest| {
        let start = head(cx, "GET", &path(cx, &function, rest));
        (rest, format!("{start}Connection: close\r\n\r\n"))
    });
    for (rest, met) in throw_each(cx, each.collect()).await? {
        // With what is wrong in it percent-encoded it is still the same.
        let decoded = |target: &str| percent_decode_str(target).collect::<Vec<u8>>();
        let same = met.echo().is_some_and(|echo| {
            let received = echo.get("target").and_then(Value::as_str);
            received.is_some_and(|received| decoded(received) == decoded(rest))
        });
        let first = met.answers.first();
        let redirected = first.is_some_and(|first| {
            let to = first.header("location").unwrap_or_default();
            matches!(first.status(), 301 | 308) && decoded(&to).ends_with(&decoded(rest))
        });
        let mut statuses = met.answers.iter().map(Answer::status);
        let refused = met.is_turned_down() && statuses.all(is_fault_of_the_request);
        cx.check("OFP-HRD-011", refused || redirected || same, || {
            format!("{rest:?} behind the name of a function: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn what_is_no_http(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let target = path(cx, &function, "/");
    let host = &cx.address().host;
    let each = [
        format!("GET {target} HTTP/2.0\r\nHost: {host}\r\n\r\n"),
        format!("GET {target} HTTP/9.1\r\nHost: {host}\r\n\r\n"),
        format!("GET {target} HTCPCP/1.1\r\nHost: {host}\r\n\r\n"),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}\r\n\r\n".to_owned(),
        "EHLO provider\r\n\r\n".to_owned(),
        "{\"no\": \"request\"}\r\n\r\n".to_owned(),
    ];
    for (bytes, met) in throw_each(cx, each.map(|bytes| (bytes.clone(), bytes)).to_vec()).await? {
        cx.check("OFP-HRD-012", met.is_turned_down(), || {
            format!("{bytes:?}: {}", met.shown())
        });
    }
    still_serves(cx, &function).await;
    Ok(())
}

async fn dots_do_not_lead_out(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let other = cx.function().await?;
    let beside = format!("{}.{}", other.name, other.namespace);
    let called = cx.get(&other.path("/do/identity")).await?;
    let replica = |answer: &Answer| {
        let told = answer.json().unwrap_or_default();
        told.get("replica")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let Some(other_replica) = replica(&called) else {
        let shown = called.shown();
        return Err(Stop::Setup(format!(
            "the function names no replica: {shown}"
        )));
    };
    for rest in [
        "/../../system/info".to_owned(),
        "/%2e%2e/%2e%2e/system/info".to_owned(),
        "/%2E%2E/.%2e/system/info".to_owned(),
        "/..%2f..%2fsystem/info".to_owned(),
        "/a/../../../system/info".to_owned(),
        format!("/../{beside}/do/identity"),
        format!("/%2e%2e/{beside}/do/identity"),
        format!("/..%2f{beside}/do/identity"),
    ] {
        let answer = cx
            .send(Request::get(function.path(&rest)).anonymous())
            .await?;
        let told = answer.json().unwrap_or_default();
        // The function asks nobody for credentials.
        let told_by_api = answer.is_success() && told.get("orchestration").is_some();
        let api = told_by_api || answer.status() == 401;
        let beside =
            answer.is_success() && replica(&answer).as_deref() == Some(other_replica.as_str());
        cx.check("OFP-HRD-013", !api && !beside, || {
            let who = if api { "the API" } else { "another function" };
            format!(
                "{rest} behind the name of a function was answered by {who}: {}",
                answer.shown()
            )
        });
    }
    Ok(())
}
