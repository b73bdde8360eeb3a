//! Connections that become something else.

use std::time::Duration;

use serde_json::Value;

use crate::case::Case;
use crate::cases;
use crate::context::{Context, Function, Stop};
use crate::requirement::Feature;
use crate::wire::{Connection, Head, Request, WireError};

pub(super) const CASES: &[Case] = cases! { "upgrade";
    a_websocket_is_a_tunnel: ["OFP-UPG-001", "OFP-UPG-002"],
    names_are_compared_in_any_case: ["OFP-UPG-003"],
    any_protocol_is_a_tunnel: ["OFP-UPG-004"],
    a_refused_upgrade_is_a_reply: ["OFP-UPG-005"],
    the_end_of_one_side_reaches_the_other: ["OFP-UPG-006"],
    what_is_sent_early_arrives: ["OFP-UPG-007"],
    silence_ends_no_tunnel: ["OFP-UPG-008"],
};

/// The key of RFC 6455 section 1.3, and what must be answered to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn websocket(function: &Function, upgrade: &str, connection: &str) -> Request {
    Request::get(function.path("/do/upgrade"))
        .header("Connection", connection)
        .header("Upgrade", upgrade)
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// Sends the request and reads the head of its answer, with whatever is sent behind it.
async fn begin(
    cx: &Context,
    request: Request,
    early: &[u8],
) -> Result<(Connection, Result<Head, WireError>), Stop> {
    let call = request.line();
    let mut connection = cx.connect().await?;
    let mut bytes = cx.prepare(request).bytes(cx.address());
    bytes.extend_from_slice(early);
    let failed = |source| Stop::Provider { call, source };
    connection.write(&bytes).await.map_err(failed)?;
    let head = connection.head("GET").await;
    Ok((connection, head))
}

/// Sends bytes through the tunnel, whose function sends them back; gives what came.
async fn echoed(connection: &mut Connection, sent: &[u8]) -> Result<Vec<u8>, String> {
    connection
        .write(sent)
        .await
        .map_err(|error| error.to_string())?;
    received(connection, sent.len()).await
}

async fn received(connection: &mut Connection, length: usize) -> Result<Vec<u8>, String> {
    let mut got = Vec::new();
    while got.len() < length {
        match connection.piece().await {
            Ok(Some(piece)) => got.extend_from_slice(&piece.data),
            Ok(None) => return Err(format!("the tunnel ended after {} bytes", got.len())),
            Err(error) => return Err(format!("after {} bytes: {error}", got.len())),
        }
    }
    Ok(got)
}

fn shown(head: &Result<Head, WireError>) -> String {
    match head {
        Ok(head) => format!(
            "the upgrade was answered with {} {:?}",
            head.status, head.headers
        ),
        Err(error) => format!("the upgrade was not answered: {error}"),
    }
}

fn is_switched(head: &Result<Head, WireError>) -> bool {
    head.as_ref().is_ok_and(|head| head.status == 101)
}

async fn a_websocket_is_a_tunnel(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let order = "upgrade?header=Sec-WebSocket-Protocol:chat";
    let handshake = websocket(&function, "websocket", "Upgrade")
        .header("Sec-WebSocket-Protocol", "chat, superchat");
    let (mut connection, head) = begin(cx, handshake.clone().header("X-Do", order), b"").await?;
    cx.require("OFP-UPG-001", is_switched(&head), || shown(&head))?;
    let whole = head.as_ref().is_ok_and(|head| {
        head.headers.lists("connection", "upgrade")
            && head.headers.lists("upgrade", "websocket")
            && head.headers.get("sec-websocket-accept").as_deref() == Some(ACCEPT)
            && head.headers.get("sec-websocket-protocol").as_deref() == Some("chat")
    });
    cx.check("OFP-UPG-002", whole, || shown(&head));
    // The function tells what it received, and changes no protocol.
    let told = cx.send(handshake.header("X-Do", "echo")).await?;
    let text = told.text().to_ascii_lowercase();
    for (name, value) in [
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-protocol", "chat, superchat"),
    ] {
        let pair = format!("[\"{name}\",\"{}\"]", value.to_ascii_lowercase());
        cx.check("OFP-UPG-002", text.contains(&pair), || {
            format!("`{name}: {value}` did not reach the function: {text}")
        });
    }
    // Every byte there is, more than a buffer's worth of them, and a little one after.
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    for sent in [&b"hello"[..], &bytes, b"!"] {
        let got = echoed(&mut connection, sent).await;
        cx.check("OFP-UPG-001", got.as_deref() == Ok(sent), || {
            let saw = got.map_or_else(|why| why, |_| "other bytes".to_owned());
            format!("{} bytes were sent to be sent back: {saw}", sent.len())
        });
    }
    Ok(())
}

async fn names_are_compared_in_any_case(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let usual = websocket(&function, "websocket", "Upgrade");
    let (_, head) = begin(cx, usual, b"").await?;
    if !is_switched(&head) {
        return Err(Stop::Setup(shown(&head)));
    }
    for (upgrade, named) in [
        ("WebSocket", "Upgrade"),
        ("WEBSOCKET", "UPGRADE"),
        ("websocket", "keep-alive, upgrade"),
    ] {
        let (_, head) = begin(cx, websocket(&function, upgrade, named), b"").await?;
        cx.check("OFP-UPG-003", is_switched(&head), || {
            format!(
                "`Connection: {named}`, `Upgrade: {upgrade}`: {}",
                shown(&head)
            )
        });
    }
    Ok(())
}

async fn any_protocol_is_a_tunnel(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let request = Request::get(function.path("/do/upgrade"))
        .header("Connection", "Upgrade")
        .header("Upgrade", "example/1");
    let (mut connection, head) = begin(cx, request, b"").await?;
    let got = match is_switched(&head) {
        true => echoed(&mut connection, b"\x00\xffhello").await,
        false => Err(shown(&head)),
    };
    cx.check(
        "OFP-UPG-004",
        got.as_deref() == Ok(b"\x00\xffhello"),
        || format!("`Upgrade: example/1`: {got:?}"),
    );
    Ok(())
}

async fn a_refused_upgrade_is_a_reply(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for status in [200, 400, 426] {
        let request = Request::get(function.path(&format!("/do/text?status={status}&text=no")))
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket");
        let answer = cx.send(request).await?;
        let same = answer.status() == status && answer.body == b"no";
        cx.check("OFP-UPG-005", same, || {
            format!(
                "the function answered {status} \"no\" to an upgrade, and this came: {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn the_end_of_one_side_reaches_the_other(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    // The function ends the tunnel after these bytes.
    let request = Request::get(function.path("/do/upgrade?text=goodbye&cut=7"))
        .header("Connection", "Upgrade")
        .header("Upgrade", "example/1");
    let (mut connection, head) = begin(cx, request, b"").await?;
    if !is_switched(&head) {
        return Err(Stop::Setup(shown(&head)));
    }
    let got = received(&mut connection, 7).await;
    cx.check("OFP-UPG-006", got.as_deref() == Ok(b"goodbye"), || {
        format!("the function sent \"goodbye\" and closed: {got:?}")
    });
    let rest = connection.until_end().await;
    let ended = rest.as_ref().is_ok_and(Vec::is_empty);
    cx.check("OFP-UPG-006", ended, || {
        format!("the function closed the tunnel, and the caller saw {rest:?}")
    });

    // And the caller.
    let id = cx.name();
    let request = Request::get(function.path(&format!("/do/upgrade?id={id}")))
        .header("Connection", "Upgrade")
        .header("Upgrade", "example/1");
    let (mut connection, head) = begin(cx, request, b"").await?;
    if !is_switched(&head) {
        return Err(Stop::Setup(shown(&head)));
    }
    let _ = echoed(&mut connection, b"hello").await;
    // The last bytes, and the end right behind them.
    let _ = connection.write(b"bye").await;
    let _ = connection.finish().await;
    connection.set_limit(cx.timeouts().prompt);
    let _ = connection.until_end().await;
    drop(connection);
    let limit = cx.timeouts().settle;
    let calls = Request::get(function.path(&format!("/do/calls?id={id}")));
    let polled = cx.poll(
        "the function to see the tunnel's end",
        limit,
        calls,
        |answer| {
            let json = answer.json().unwrap_or_default();
            json.pointer("/calls/0/ended")
                .is_some_and(|ended| !ended.is_null())
        },
    );
    let seen = polled.await?;
    cx.check("OFP-UPG-006", seen.is_ok(), || {
        let last = seen
            .as_ref()
            .err()
            .map(|answer| answer.shown())
            .unwrap_or_default();
        format!("the caller closed the tunnel, and the function still has it: {last}")
    });
    if let Ok(answer) = &seen {
        let json = answer.json().unwrap_or_default();
        let received = json.pointer("/calls/0/received").and_then(Value::as_u64);
        cx.check("OFP-UPG-006", received == Some(8), || {
            format!(
                "the caller sent \"hello\" and \"bye\" and closed: {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn what_is_sent_early_arrives(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let (mut connection, head) =
        begin(cx, websocket(&function, "websocket", "Upgrade"), b"early").await?;
    let got = match is_switched(&head) {
        true => received(&mut connection, 5).await,
        false => Err(shown(&head)),
    };
    cx.check("OFP-UPG-007", got.as_deref() == Ok(b"early"), || {
        format!("\"early\" was sent right behind the request: {got:?}")
    });
    Ok(())
}

async fn silence_ends_no_tunnel(cx: &Context) -> Result<(), Stop> {
    if !cx.has(Feature::ShortTimeout) {
        return Ok(());
    }
    let function = cx.function().await?;
    let (mut connection, head) =
        begin(cx, websocket(&function, "websocket", "Upgrade"), b"").await?;
    if !is_switched(&head) {
        return Err(Stop::Setup(shown(&head)));
    }
    let before = echoed(&mut connection, b"before").await;
    // The limit is declared to be at most 3 s.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    let after = echoed(&mut connection, b"after").await;
    let lives = before.is_ok() && after.as_deref() == Ok(b"after");
    cx.check("OFP-UPG-008", lives, || {
        format!("after 3.2 s of silence: {after:?}")
    });
    Ok(())
}
