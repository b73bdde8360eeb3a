//! Replies and bodies that come in pieces, judged by the time between them.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::steps::{shown, together};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Function, Stop};
use crate::wire::{Connection, Piece, Request, WireError};

pub(super) const CASES: &[Case] = cases! { "streaming";
    pieces_come_when_they_are_made: ["OFP-STR-001", "OFP-STR-002", "OFP-STR-006"],
    the_header_comes_before_the_body: ["OFP-STR-003"],
    the_body_of_a_call_is_streamed: ["OFP-STR-004", "OFP-STR-005"],
    a_stream_that_breaks_off_breaks_off: ["OFP-STR-007"],
    a_caller_that_leaves_a_stream_is_noticed: ["OFP-STR-008"],
    a_caller_that_does_not_read_slows_the_function: ["OFP-STR-009"],
    trailers_pass: ["OFP-STR-010", "OFP-STR-011"],
    many_small_pieces_come_whole: ["OFP-STR-012"],
};

/// Between two pieces. Where they do not come as far apart, it is tried with more: a machine that is
/// busy may read late, and what is held back comes with the next however long that takes.
const GAPS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1_500)];

/// Whether what was made so far apart came apart, and not held back.
fn is_apart(came: Duration, made: Duration) -> bool {
    came > made / 3
}

async fn open(cx: &Context, request: Request) -> Result<Connection, Stop> {
    let call = request.line();
    let mut connection = cx.connect().await?;
    let sent = connection.send(&cx.prepare(request)).await;
    sent.map_err(|source| Stop::Provider { call, source })?;
    Ok(connection)
}

/// The pieces of a reply, and how it ended.
async fn pieces(connection: &mut Connection) -> (Vec<Piece>, Result<(), WireError>) {
    let mut pieces = Vec::new();
    if let Err(error) = connection.head("GET").await {
        return (pieces, Err(error));
    }
    loop {
        match connection.piece().await {
            Ok(Some(piece)) => pieces.push(piece),
            Ok(None) => return (pieces, Ok(())),
            Err(error) => return (pieces, Err(error)),
        }
    }
}

/// The times between messages, each taken when its end has come: one may come in several pieces,
/// and several in one.
fn gaps(pieces: &[Piece], ending: &str) -> Vec<Duration> {
    let mut text = String::new();
    let mut ends = Vec::new();
    for piece in pieces {
        text.push_str(&String::from_utf8_lossy(&piece.data));
        ends.resize(text.matches(ending).count(), piece.at);
    }
    let later = ends.iter().skip(1);
    let pairs = ends.iter().zip(later);
    pairs.map(|(one, next)| next.duration_since(*one)).collect()
}

async fn pieces_come_when_they_are_made(cx: &Context) -> Result<(), Stop> {
    let function = &cx.function().await?;
    let forms = [
        ("OFP-STR-001", "sse", Some("text/event-stream"), "\n\n"),
        ("OFP-STR-001", "ndjson", Some("application/x-ndjson"), "\n"),
        ("OFP-STR-002", "sse", None, "\n\n"),
        ("OFP-STR-002", "plain", None, "\n"),
    ];
    let judged = forms.map(|(id, form, accept, ending)| async move {
        let start = Instant::now();
        for (number, gap) in GAPS.into_iter().enumerate() {
            let order = format!("/do/stream?pieces=3&gap={}&as={form}", gap.as_millis());
            let mut request = Request::get(function.path(&order));
            if let Some(accept) = accept {
                request = request.header("Accept", accept);
            }
            let mut connection = open(cx, request).await?;
            connection.set_limit(cx.timeouts().prompt + 3 * gap);
            let (got, end) = pieces(&mut connection).await;
            cx.check("OFP-STR-006", end.is_ok(), || {
                format!("after {} pieces, the last: {end:?}", got.len())
            });
            // Each gap by itself: the time between first and last is long as well where only the
            // first piece comes at once, or where each waits for the one behind it.
            let gaps = gaps(&got, ending);
            let apart = gaps.len() == 2 && gaps.iter().all(|came| is_apart(*came, gap));
            if number > 0 {
                cx.looked_again("messages of a stream to come apart", start.elapsed(), apart);
            }
            if !apart && end.is_ok() && number + 1 < GAPS.len() {
                continue;
            }
            cx.check(id, apart, || {
                format!(
                    "3 messages of {form}, made {gap:?} apart (Accept: {accept:?}), came {gaps:?} \
                     apart"
                )
            });
            break;
        }
        Ok(())
    });
    together(judged).await.into_iter().collect()
}

async fn the_header_comes_before_the_body(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let start = Instant::now();
    for (number, gap) in GAPS.into_iter().enumerate() {
        let order = format!("/do/stream?pieces=1&pause={}", gap.as_millis());
        let mut connection = open(cx, Request::get(function.path(&order))).await?;
        let head = connection.head("GET").await;
        let at = Instant::now();
        let before = match (&head, connection.piece().await) {
            (Ok(_), Ok(Some(piece))) => piece.at.saturating_duration_since(at),
            _ => Duration::ZERO,
        };
        let apart = is_apart(before, gap);
        if number > 0 {
            cx.looked_again("a header to come before its body", start.elapsed(), apart);
        }
        if apart || number + 1 == GAPS.len() {
            cx.check("OFP-STR-003", apart, || {
                format!(
                    "the function waits {gap:?} behind the header, which came {before:?} before \
                     the body"
                )
            });
            break;
        }
    }
    Ok(())
}

async fn the_body_of_a_call_is_streamed(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let id = cx.name();
    let target = function.path(&format!("/do/mirror?id={id}"));
    let head = cx.prepare(Request::post(target.clone()).header("Transfer-Encoding", "chunked"));
    let mut connection = cx.connect().await?;
    let failed = |source| Stop::Provider {
        call: format!("POST {target}"),
        source,
    };
    let head = head.head(cx.address());
    connection.write(&head).await.map_err(failed)?;
    connection.write(b"5\r\nfirst\r\n").await.map_err(failed)?;
    let arrived = |call: &Value| call.get("received").and_then(Value::as_u64) >= Some(5);
    let seen = calls(cx, &function, &id, arrived).await?;
    cx.check("OFP-STR-004", seen.is_ok(), || {
        format!("of a body whose first 5 bytes were sent, the function has {seen:?}")
    });
    connection.set_limit(cx.timeouts().prompt);
    let first = async {
        connection.head("POST").await?;
        connection.piece().await
    };
    let first = first.await;
    let came = matches!(&first, Ok(Some(piece)) if piece.data == b"first");
    cx.check("OFP-STR-005", came, || {
        format!("a function that sends back what it reads gave {first:?} while the body went on")
    });
    if came {
        connection
            .write(b"4\r\nlast\r\n0\r\n\r\n")
            .await
            .map_err(failed)?;
        let rest = connection.rest().await;
        cx.check(
            "OFP-STR-005",
            matches!(&rest, Ok(rest) if rest == b"last"),
            || format!("then \"last\" was sent, and this came: {rest:?}"),
        );
    }
    Ok(())
}

/// What the function says of its first call with an id, as soon as it is as wanted.
async fn calls(
    cx: &Context,
    function: &Function,
    id: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Result<(), String>, Stop> {
    let request = Request::get(function.path(&format!("/do/calls?id={id}")));
    let limit = cx.timeouts().settle;
    let polled = cx
        .poll(
            "what the function saw of a call",
            limit,
            request,
            |answer| {
                let json = answer.json().unwrap_or_default();
                json.pointer("/calls/0").is_some_and(&wanted)
            },
        )
        .await?;
    Ok(polled.map(|_| ()).map_err(|answer| answer.shown()))
}

async fn a_stream_that_breaks_off_breaks_off(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (form, accept) in [
        ("sse", "text/event-stream"),
        ("ndjson", "application/x-ndjson"),
        ("plain", "*/*"),
    ] {
        for how in ["close", "reset"] {
            let order = format!("/do/stream?pieces=9&as={form}&cut=10&how={how}");
            let request = Request::get(function.path(&order)).header("Accept", accept);
            let got = cx.try_send(request).await;
            let visible = match &got {
                Ok(answer) => (500..600).contains(&answer.status()),
                Err(error) => error.is_end(),
            };
            cx.check("OFP-STR-007", visible, || {
                let saw = shown(&got);
                format!("a stream of {form} that broke off with a {how} came as {saw}")
            });
        }
    }
    Ok(())
}

fn gone(call: &Value) -> bool {
    call.get("ended").and_then(Value::as_str) == Some("gone")
}

async fn a_caller_that_leaves_a_stream_is_noticed(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let id = cx.name();
    let order = format!("/do/stream?pieces=100000&gap=50&id={id}");
    let mut connection = open(cx, Request::get(function.path(&order))).await?;
    let begun = connection.head("GET").await;
    if begun.is_err() {
        return Err(Stop::Setup(format!("the stream did not begin: {begun:?}")));
    }
    drop(connection);
    let seen = calls(cx, &function, &id, gone).await?;
    cx.check("OFP-STR-008", seen.is_ok(), || {
        format!("after its caller left, the function that streams knows of {seen:?}")
    });
    Ok(())
}

async fn a_caller_that_does_not_read_slows_the_function(cx: &Context) -> Result<(), Stop> {
    /// What lies in buffers of the system on both sides, and then some.
    const MUCH: u64 = 256 << 20;
    let function = cx.function().await?;
    let id = cx.name();
    let order = format!("/do/bytes?size={MUCH}&id={id}");
    let mut connection = open(cx, Request::get(function.path(&order))).await?;
    let begun = connection.head("GET").await;
    if begun.is_err() {
        return Err(Stop::Setup(format!("the reply did not begin: {begun:?}")));
    }
    // Nothing is read, until the function has sent the same twice in a row.
    let mut last = None;
    let target = function.path(&format!("/do/calls?id={id}"));
    let start = Instant::now();
    loop {
        let json = cx.get(&target).await?.json().unwrap_or_default();
        let sent = json.pointer("/calls/0/sent").and_then(Value::as_u64);
        if (sent.is_some() && sent == last) || start.elapsed() > cx.timeouts().settle {
            break;
        }
        last = sent;
        tokio::time::sleep(cx.timeouts().quiet).await;
    }
    let sent = last.unwrap_or(MUCH);
    cx.check("OFP-STR-009", sent < MUCH / 2, || {
        format!("the caller read nothing, and the function could send {sent} of {MUCH} bytes")
    });
    Ok(())
}

async fn trailers_pass(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let order = "/do/text?text=x&framing=chunked&trailer=X-Sum:42&header=Trailer:X-Sum";
    let request = Request::get(function.path(order))
        .header("TE", "trailers")
        .header("Connection", "TE");
    let answer = cx.send(request).await?;
    cx.check(
        "OFP-STR-010",
        answer.trailers.get("X-Sum").as_deref() == Some("42"),
        || {
            format!(
                "the trailer `X-Sum: 42` of the reply came as {:?}",
                answer.trailers
            )
        },
    );
    let target = function.path("/trailers");
    let head = Request::post(target.clone())
        .header("Transfer-Encoding", "chunked")
        .header("Trailer", "X-Sum");
    let mut bytes = cx.prepare(head).head(cx.address());
    bytes.extend_from_slice(b"1\r\nx\r\n0\r\nX-Sum: 42\r\n\r\n");
    let mut connection = cx.connect().await?;
    let failed = |source| Stop::Provider {
        call: format!("POST {target}"),
        source,
    };
    connection.write(&bytes).await.map_err(failed)?;
    let answer = connection.answer("POST").await.map_err(failed)?;
    let json = answer.json().unwrap_or_default();
    let trailers = json.get("trailers").cloned().unwrap_or_default();
    cx.check(
        "OFP-STR-011",
        trailers
            .to_string()
            .to_ascii_lowercase()
            .contains("\"x-sum\",\"42\""),
        || format!("the trailer `X-Sum: 42` of the call reached the function as {trailers}"),
    );
    Ok(())
}

async fn many_small_pieces_come_whole(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let answer = cx
        .get(&function.path("/do/stream?pieces=5000&gap=0"))
        .await?;
    let wanted: String = (0..5000).map(|number| format!("{number}\n")).collect();
    cx.check("OFP-STR-012", answer.text() == wanted, || {
        format!(
            "5000 pieces came as {} of {} bytes",
            answer.body.len(),
            wanted.len()
        )
    });
    // One byte each, and each by itself.
    let answer = cx
        .get(&function.path("/do/stream?pieces=100&size=1&gap=2"))
        .await?;
    let wanted: Vec<u8> = (0..100).collect();
    cx.check("OFP-STR-012", answer.body == wanted, || {
        format!("100 pieces of one byte came as {:?}", answer.body)
    });
    Ok(())
}
