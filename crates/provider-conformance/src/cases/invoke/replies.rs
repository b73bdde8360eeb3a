//! What of a reply reaches the caller.

use super::super::steps::shown;
use super::{bytes, echo, text};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};
use crate::wire::{Headers, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "invoke";
    statuses_come_back: ["OFP-INV-020", "OFP-INV-021", "OFP-INV-033"],
    headers_come_back: ["OFP-INV-022", "OFP-INV-023", "OFP-INV-024"],
    bodies_come_back: ["OFP-INV-025", "OFP-INV-026"],
    replies_without_a_body_leave_the_connection_whole: ["OFP-INV-027"],
    packed_replies_stay_packed: ["OFP-INV-028"],
    a_reply_without_a_type_gets_one: ["OFP-INV-029"],
};

async fn statuses_come_back(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for status in [200, 201, 204, 304, 400, 404, 418, 429, 500, 503] {
        let answer = cx
            .get(&function.path(&format!("/do/text?text=x&status={status}")))
            .await?;
        cx.check("OFP-INV-020", answer.status() == status, || {
            format!("the function's {status} came as {}", answer.shown())
        });
        let marked = answer.header("x-openfaas-internal");
        cx.check("OFP-INV-033", marked.is_none(), || {
            format!("the function's {status} came with `X-OpenFaaS-Internal: {marked:?}`")
        });
    }
    for status in [301, 302, 303, 307, 308] {
        let order = format!("/do/none?status={status}&header=Location:/elsewhere");
        let answer = cx.get(&function.path(&order)).await?;
        let location = answer.header("location");
        let same = answer.status() == status && location.as_deref() == Some("/elsewhere");
        cx.check("OFP-INV-021", same, || {
            format!(
                "a redirect of {status} to /elsewhere came as {} to {location:?}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn headers_come_back(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let order = "/do/text?text=x&header=Set-Cookie:a=1&header=Set-Cookie:b=2%3B%20Path=/\
                 &header=X-One:1&header=X-Empty:&header=ETag:%22e%22&header=X-Call-Id:mine\
                 &header=Cache-Control:no-store&header=WWW-Authenticate:Bearer\
                 &header=Connection:X-Hop,%20keep-alive&header=X-Hop:mine\
                 &header=Keep-Alive:timeout=7&header=Proxy-Authenticate:Basic";
    let accept = ["", "text/event-stream"];
    for accept in accept {
        let mut request = Request::get(function.path(order));
        if !accept.is_empty() {
            request = request.header("Accept", accept);
        }
        let answer = cx.send(request).await?;
        if answer.status() != 200 {
            return Err(Stop::Setup(format!("the call gave {}", answer.shown())));
        }
        let headers: &Headers = &answer.head.headers;
        for (name, values) in [
            ("Set-Cookie", &["a=1", "b=2; Path=/"][..]),
            ("X-One", &["1"]),
            ("X-Empty", &[""]),
            ("ETag", &["\"e\""]),
            ("X-Call-Id", &["mine"]),
            ("Cache-Control", &["no-store"]),
            ("WWW-Authenticate", &["Bearer"]),
            ("Content-Type", &["text/plain"]),
        ] {
            let got = headers.all(name);
            let same = match name {
                "Content-Type" => {
                    got.len() == 1 && got.iter().all(|one| one.starts_with("text/plain"))
                }
                // The gateway puts its own in its place.
                "X-Call-Id" if cx.is_gateway() => true,
                _ => got == values,
            };
            cx.check("OFP-INV-022", same, || {
                format!("`{name}` of the reply, {values:?}, came as {got:?} (Accept: {accept:?})")
            });
        }
        let hop = headers.all("X-Hop");
        let connection = headers.all("Connection").join(", ").to_ascii_lowercase();
        cx.check(
            "OFP-INV-023",
            hop.is_empty() && !connection.contains("x-hop"),
            || {
                format!(
                    "`Connection` came as {connection:?}, and `X-Hop`, which it named, as {hop:?}"
                )
            },
        );
        for (name, sent) in [("Keep-Alive", "timeout=7"), ("Proxy-Authenticate", "Basic")] {
            let got = headers.all(name);
            cx.check("OFP-INV-024", !got.iter().any(|one| one == sent), || {
                format!("`{name}: {sent}` of the reply came to the caller")
            });
        }
    }
    Ok(())
}

async fn bodies_come_back(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (framing, large) in [
        ("length", 8 << 20),
        ("chunked", 1 << 20),
        ("close", 1 << 20),
    ] {
        for size in [0, 1, 70_000, large] {
            let order = format!("/do/bytes?size={size}&framing={framing}");
            let answer = cx.get(&function.path(&order)).await?;
            cx.check("OFP-INV-025", answer.body == bytes(size), || {
                format!(
                    "a body of {size} bytes, framed by {framing}, came with {} and {} bytes{}",
                    answer.status(),
                    answer.body.len(),
                    if answer.body.len() == size {
                        ", others"
                    } else {
                        ""
                    }
                )
            });
            if framing == "length" {
                let stated = answer.header("content-length");
                cx.check("OFP-INV-026", stated == Some(size.to_string()), || {
                    format!("`Content-Length: {size}` of the reply came as {stated:?}")
                });
            }
        }
    }
    Ok(())
}

async fn replies_without_a_body_leave_the_connection_whole(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (method, order) in [
        ("GET", "/do/none?status=204"),
        ("GET", "/do/none?status=304&header=ETag:%22e%22"),
        ("HEAD", "/do/bytes?size=1000"),
        ("HEAD", "/do/bytes?size=1000&framing=chunked"),
    ] {
        let mut connection = cx.connect().await?;
        let first = cx.prepare(Request::new(method, function.path(order)));
        let first = connection.call(&first).await;
        let bare = first.as_ref().is_ok_and(|answer| answer.body.is_empty());
        cx.check("OFP-INV-027", bare, || {
            format!("{method} {order} gave {}", shown(&first))
        });
        let closes = first
            .as_ref()
            .is_ok_and(|answer| answer.head.headers.lists("connection", "close"));
        if !bare || closes {
            continue;
        }
        let next = connection
            .call(&cx.prepare(Request::get(function.path("/next"))))
            .await;
        let fits = next
            .as_ref()
            .is_ok_and(|next| text(&echo(next), "/target") == "/next");
        cx.check("OFP-INV-027", fits, || {
            let next = shown(&next);
            format!("the call behind {method} {order} on its connection gave {next}")
        });
    }
    Ok(())
}

async fn packed_replies_stay_packed(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    // "hello" packed; the header says when it was packed, never.
    let packed: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86, 0xa6, 0x10,
        0x36, 5, 0, 0, 0,
    ];
    let order = "/do/mirror?framing=length&length=25&header=Content-Encoding:gzip";
    for asked in [false, true] {
        let mut request = Request::post(function.path(order)).body(packed);
        if asked {
            request = request.header("Accept-Encoding", "gzip");
        }
        let answer = cx.send(request).await?;
        let coding = answer.header("content-encoding");
        let same = answer.body == packed && coding.as_deref() == Some("gzip");
        cx.check("OFP-INV-028", same, || {
            format!(
                "a reply packed with gzip came with `Content-Encoding: {coding:?}` and {} bytes \
                 for 25 (Accept-Encoding sent: {asked})",
                answer.body.len()
            )
        });
    }
    Ok(())
}

async fn a_reply_without_a_type_gets_one(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (sent, wanted) in [
        (Some("application/x-example"), "application/x-example"),
        (None, "text/plain"),
    ] {
        let mut request = Request::post(function.path("/do/text?text=x&type=")).body("x");
        if let Some(kind) = sent {
            request = request.header("Content-Type", kind);
        }
        let answer = cx.send(request).await?;
        let got = answer.header("content-type").unwrap_or_default();
        cx.check("OFP-INV-029", got.starts_with(wanted), || {
            format!("a reply without a type, to a call with {sent:?}, came with {got:?}")
        });
    }
    Ok(())
}
