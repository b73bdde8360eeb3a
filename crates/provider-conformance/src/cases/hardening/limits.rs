//! Input that is too much, or too slow.

use std::time::Duration;

use super::{head, path, throw};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop};
use crate::wire::{Request, WireError};

pub(in crate::cases) const CASES: &[Case] = cases! { "hardening";
    headers_have_a_bound: ["OFP-HRD-014"],
    headers_have_a_time: ["OFP-HRD-015"],
    bodies_of_the_api_have_a_bound: ["OFP-HRD-016"],
    json_has_a_depth: ["OFP-HRD-023"],
};

async fn headers_have_a_bound(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let start = head(cx, "GET", &path(cx, &function, "/do/none"));
    let lines = |count: usize, size: usize| {
        let value = "a".repeat(size);
        let line = |number| format!("X-{number}: {value}\r\n");
        (0..count).map(line).collect::<String>()
    };
    let met = throw(
        cx,
        format!("{start}{}\r\n", lines(8, 8 * 1024 - 100)).as_bytes(),
    )
    .await?;
    let taken = met
        .answers
        .first()
        .is_some_and(crate::wire::Answer::is_success);
    cx.check("OFP-HRD-014", taken, || {
        format!("headers of 64 KiB: {}", met.shown())
    });
    for (what, lines) in [
        ("10,000 headers", lines(10_000, 1)),
        ("4 MiB of headers", lines(64, 64 * 1024)),
    ] {
        let met = throw(cx, format!("{start}{lines}\r\n").as_bytes()).await?;
        let refused = met.answers.iter().all(|answer| answer.status() == 431);
        let closed = met.is_closed() || !met.answers.is_empty();
        cx.check("OFP-HRD-014", refused && closed, || {
            format!("{what}: {}", met.shown())
        });
    }
    Ok(())
}

async fn headers_have_a_time(cx: &Context) -> Result<(), Stop> {
    let limit = Duration::from_secs(30);
    let mut connection = cx.connect().await?;
    connection.set_limit(limit);
    let start = format!("{}/healthz", cx.address().prefix);
    let _ = connection.write(head(cx, "GET", &start).as_bytes()).await;
    let ended = connection.until_end().await;
    cx.check(
        "OFP-HRD-015",
        !matches!(ended, Err(WireError::Late { .. })),
        || format!("a header without its end was waited for for {limit:?}"),
    );
    Ok(())
}

async fn bodies_of_the_api_have_a_bound(cx: &Context) -> Result<(), Stop> {
    const SIZE: usize = 64 << 20;
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let piece = vec![b' '; 1 << 20];
    for chunked in [false, true] {
        let mut request =
            Request::post("/system/functions").header("Content-Type", "application/json");
        request = match chunked {
            true => request.header("Transfer-Encoding", "chunked"),
            false => request.header("Content-Length", SIZE.to_string()),
        };
        let mut connection = cx.connect().await?;
        let request = cx.prepare(request);
        let mut sent = connection.write(&request.head(cx.address())).await;
        for _ in 0..SIZE / piece.len() {
            if sent.is_err() {
                break;
            }
            if chunked {
                sent = connection
                    .write(format!("{:x}\r\n", piece.len()).as_bytes())
                    .await;
            }
            sent = sent.and(connection.write(&piece).await);
            if chunked {
                sent = sent.and(connection.write(b"\r\n").await);
            }
        }
        if sent.is_ok() && chunked {
            sent = connection.write(b"0\r\n\r\n").await;
        }
        let answer = connection.answer("POST").await;
        let good = match &answer {
            Ok(answer) => answer.status() == 413,
            Err(error) => error.is_end(),
        };
        cx.check("OFP-HRD-016", good, || {
            let how = if chunked {
                "in chunks"
            } else {
                "of stated length"
            };
            let all = if sent.is_ok() {
                " was taken whole and"
            } else {
                ""
            };
            match &answer {
                Ok(answer) => format!(
                    "a body of 64 MiB {how}{all} was answered with {}",
                    answer.shown()
                ),
                Err(error) => format!("a body of 64 MiB {how}{all} led to this: {error}"),
            }
        });
    }
    Ok(())
}

async fn json_has_a_depth(cx: &Context) -> Result<(), Stop> {
    const DEPTH: usize = 100_000;
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let body = format!(r#"{{"service":"{name}","image":"x","unknown":{open}{close}}}"#);
    let answer = cx
        .try_send(Request::post("/system/functions").json(body))
        .await;
    let good = answer.as_ref().is_ok_and(crate::wire::Answer::is_refusal);
    cx.check("OFP-HRD-023", good, || match &answer {
        Ok(answer) => format!("it was answered with {}", answer.shown()),
        Err(error) => error.to_string(),
    });
    Ok(())
}
