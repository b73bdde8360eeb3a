//! Calls that fail: visibly, once, and with the right mark.

use super::super::steps::together;
use super::{echo, text};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Function, Stop};
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "invoke";
    nobody_answers_for_a_function_that_is_not_there: [
        "OFP-INV-030", "OFP-INV-031", "OFP-INV-032", "OFP-INV-049",
    ],
    a_call_without_a_reply_is_a_failure: ["OFP-INV-034", "OFP-INV-035", "OFP-INV-036"],
    a_reply_that_is_no_http_is_a_failure: ["OFP-INV-037"],
    a_reply_that_breaks_off_breaks_off: ["OFP-INV-038", "OFP-INV-039"],
    a_call_runs_once: ["OFP-INV-040", "OFP-INV-041"],
    a_connection_that_the_function_closed_costs_no_call: ["OFP-INV-042"],
    a_function_gets_only_its_own_calls: ["OFP-INV-050"],
};

async fn nobody_answers_for_a_function_that_is_not_there(cx: &Context) -> Result<(), Stop> {
    let nobody = format!("/function/{}", cx.name());
    for request in [
        Request::get(&nobody),
        Request::post(format!("{nobody}/path?query")).body("x"),
        Request::get(&nobody).header("Accept", "text/event-stream"),
    ] {
        let call = request.line();
        let answer = cx.send(request).await?;
        let failed = (400..600).contains(&answer.status());
        cx.check("OFP-INV-030", failed, || {
            format!("{call} gave {}", answer.shown())
        });
        cx.check("OFP-INV-031", answer.status() == 404, || {
            format!("{call} gave {}", answer.shown())
        });
        let marked = answer.header("x-openfaas-internal").is_some();
        cx.check("OFP-INV-032", marked, || {
            format!(
                "{call} gave {} without `X-OpenFaaS-Internal`",
                answer.shown()
            )
        });
    }
    let answer = cx.get("/function/").await?;
    cx.check("OFP-INV-049", answer.is_refusal(), || {
        format!("GET /function/ gave {}", answer.shown())
    });
    Ok(())
}

fn is_failure(answer: &Answer) -> bool {
    (500..600).contains(&answer.status())
}

async fn a_call_without_a_reply_is_a_failure(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for how in ["close", "reset"] {
        for cut in ["start", "header"] {
            for (id, accept) in [
                ("OFP-INV-034", "*/*"),
                ("OFP-INV-035", "text/event-stream"),
                ("OFP-INV-035", "application/x-ndjson"),
            ] {
                let order = function.path(&format!("/do/text?text=x&cut={cut}&how={how}"));
                let request = Request::post(order).header("Accept", accept).body("x");
                let call = request.line();
                let answer = cx.send(request).await?;
                cx.check(id, is_failure(&answer), || {
                    format!("{call} with `Accept: {accept}` gave {}", answer.shown())
                });
                cx.check("OFP-INV-036", answer.status() == 502, || {
                    format!("{call} with `Accept: {accept}` gave {}", answer.shown())
                });
            }
        }
    }
    Ok(())
}

async fn a_reply_that_is_no_http_is_a_failure(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for raw in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "\x00\x01\x02\x03\r\n\r\n",
        "HTTP/1.1 200 OK\r\nNo colon here\r\nContent-Length: 0\r\n\r\n",
    ] {
        let request = Request::post(function.path("/do/raw")).body(raw);
        let answer = cx.send(request).await?;
        cx.check("OFP-INV-037", is_failure(&answer), || {
            format!(
                "the function wrote {raw:?}, and the caller got {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn a_reply_that_breaks_off_breaks_off(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (id, framing) in [("OFP-INV-038", "chunked"), ("OFP-INV-039", "length")] {
        for how in ["close", "reset"] {
            for cut in [1, 5_000] {
                let order = format!("/do/bytes?size=10000&framing={framing}&cut={cut}&how={how}");
                let got = cx.try_send(Request::get(function.path(&order))).await;
                // A provider that had passed nothing on yet may still say that it failed.
                let visible = match &got {
                    Ok(answer) => is_failure(answer),
                    Err(error) => error.is_end(),
                };
                cx.check(id, visible, || {
                    format!(
                        "the function sent {cut} of 10000 bytes, framed by {framing}, and ended \
                         with a {how}; the caller got {}",
                        match got {
                            Ok(answer) => format!(
                                "a whole reply of {} with {} bytes",
                                answer.status(),
                                answer.body.len()
                            ),
                            Err(error) => error.to_string(),
                        }
                    )
                });
            }
        }
    }
    Ok(())
}

/// How many calls with this id the function has had.
async fn ran(cx: &Context, function: &Function, id: &str) -> Result<usize, Stop> {
    let answer = cx
        .get(&function.path(&format!("/do/calls?id={id}")))
        .await?;
    let json = echo(&answer);
    let calls = json.get("calls").and_then(serde_json::Value::as_array);
    calls.map(Vec::len).ok_or_else(|| {
        Stop::Setup(format!(
            "the function's list of calls is {}",
            answer.shown()
        ))
    })
}

async fn a_call_runs_once(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for (id, method) in [("OFP-INV-040", "POST"), ("OFP-INV-041", "GET")] {
        for how in ["close", "reset"] {
            // So that there is a connection which has carried a call before.
            cx.get(&function.path("/before")).await?;
            let call = cx.name();
            let order = format!("/do/text?text=x&cut=start&how={how}&id={call}");
            let mut request = Request::new(method, function.path(&order));
            if method == "POST" {
                request = request.body("");
            }
            let answer = cx.send(request).await?;
            let count = ran(cx, &function, &call).await?;
            cx.check(id, count <= 1, || {
                format!(
                    "a call with {method} whose function ended its connection with a {how} ran \
                     {count} times and gave {}",
                    answer.shown()
                )
            });
        }
    }
    Ok(())
}

async fn a_connection_that_the_function_closed_costs_no_call(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    // The function closes each connection right after its reply, and does not say so.
    let path = function.path("/do/text?text=x&keep=1");
    for first in together((0..5).map(|_| cx.get(&path))).await {
        first?;
    }
    tokio::time::sleep(cx.timeouts().quiet).await;
    for number in 1..=5 {
        let next = cx
            .send(Request::post(function.path("/next")).body("x"))
            .await?;
        let same = text(&echo(&next), "/target") == "/next";
        cx.check("OFP-INV-042", same, || {
            format!(
                "of the calls after 5 whose connections the function closed, number {number} \
                 gave {}",
                next.shown()
            )
        });
    }
    Ok(())
}

async fn a_function_gets_only_its_own_calls(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let mut functions = Vec::new();
    for other in [
        name.clone(),
        format!("{name}x"),
        format!("x{name}"),
        format!("{name}-1"),
    ] {
        let mut deployment = cx.deployment(&other);
        deployment.env_vars.insert("WHO".to_owned(), other);
        functions.push(cx.deployed(&deployment).await?);
    }
    for function in &functions {
        let answer = cx.get(&function.path("/do/environment")).await?;
        let echo = echo(&answer);
        let who = text(&echo, "/variables/WHO");
        cx.check("OFP-INV-050", who == function.name, || {
            format!(
                "a call of {} was answered by {who:?}, {}",
                function.name,
                answer.status()
            )
        });
    }
    // One that begins like theirs and is none of them.
    let beginning: String = name.chars().take(name.len() - 1).collect();
    // Where another function of this run has that name, it may answer; these may not.
    let order = format!("/function/{beginning}/do/environment");
    let answer = cx.get(&order).await?;
    let echo = echo(&answer);
    let who = text(&echo, "/variables/WHO");
    cx.check("OFP-INV-050", who.is_empty(), || {
        format!(
            "a call of {beginning} was answered by {who:?}, {}",
            answer.status()
        )
    });
    Ok(())
}
