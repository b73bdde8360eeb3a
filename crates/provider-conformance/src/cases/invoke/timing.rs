//! Calls at the same time, replies that come early, late, or after others.

use super::super::steps::{shown, together};
use super::{bytes, echo, text};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};
use crate::wire::{Answer, Request, WireError};

pub(in crate::cases) const CASES: &[Case] = cases! { "invoke";
    calls_at_the_same_time_get_their_own_replies: ["OFP-INV-043"],
    a_call_that_expects_is_not_left_waiting: ["OFP-INV-044"],
    interim_replies_are_not_the_reply: ["OFP-INV-045", "OFP-INV-046"],
    an_early_reply_comes: ["OFP-INV-047"],
    a_caller_that_leaves_is_noticed: ["OFP-INV-048"],
    a_late_reply_is_a_failure: ["OFP-INV-051", "OFP-INV-052"],
    a_reply_that_goes_on_is_not_cut: ["OFP-INV-053"],
};

async fn calls_at_the_same_time_get_their_own_replies(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let calls = (0..64).map(|number| {
        let wanted = format!("reply-{number}");
        let order = format!("/do/text?text={wanted}&sleep={}", number % 7 * 5);
        let path = function.path(&order);
        async move { (wanted, cx.get(&path).await) }
    });
    for (wanted, answer) in together(calls).await {
        let answer = answer?;
        cx.check("OFP-INV-043", answer.text() == wanted, || {
            format!(
                "the call for {wanted:?}, one of 64, gave {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn a_call_that_expects_is_not_left_waiting(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let request = Request::post(function.path("/expect"))
        .header("Expect", "100-continue")
        .body("hello");
    let request = cx.prepare(request);
    let mut connection = cx.connect().await?;
    let failed = |source: WireError| Stop::Provider {
        call: "a call with Expect".to_owned(),
        source,
    };
    connection
        .write(&request.head(cx.address()))
        .await
        .map_err(failed)?;
    let first = connection.head("POST").await;
    let answered = first
        .as_ref()
        .is_ok_and(|head| head.status == 100 || head.status >= 200);
    cx.require("OFP-INV-044", answered, || {
        format!("the head of a call with `Expect: 100-continue` gave {first:?}")
    })?;
    if first.is_ok_and(|head| head.status == 100) {
        connection.write(b"hello").await.map_err(failed)?;
        let answer = connection.answer("POST").await.map_err(failed)?;
        let echo = echo(&answer);
        let whole = echo
            .pointer("/body/size")
            .and_then(serde_json::Value::as_u64)
            == Some(5);
        cx.check("OFP-INV-044", whole, || {
            format!("after `100 Continue` and the body came {}", answer.shown())
        });
    }
    Ok(())
}

async fn interim_replies_are_not_the_reply(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for interim in ["103", "100", "103&interim=103"] {
        let order =
            format!("/do/text?text=final&status=201&interim={interim}&interim-header=Link:x");
        let answer = cx.get(&function.path(&order)).await?;
        let same = answer.status() == 201 && answer.text() == "final";
        cx.check("OFP-INV-045", same, || {
            format!(
                "a reply behind interim ones ({interim}) came as {}",
                answer.shown()
            )
        });
        if interim == "103" {
            let came = answer.interim.iter().any(|head| head.status == 103);
            cx.check("OFP-INV-046", came, || {
                format!("of an interim 103 the caller saw {:?}", answer.interim)
            });
        }
    }
    Ok(())
}

async fn an_early_reply_comes(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let request = Request::post(function.path("/do/text?text=early&status=413&read=no"));
    let request = cx.prepare(request.body(bytes(8 << 20)));
    let mut connection = cx.connect().await?;
    let answer = connection.call(&request).await;
    let came = answer
        .as_ref()
        .is_ok_and(|answer| answer.status() == 413 && answer.text() == "early");
    cx.check("OFP-INV-047", came, || {
        let saw = shown(&answer);
        format!("a function that answers 413 without reading a body of 8 MiB gave {saw}")
    });
    Ok(())
}

async fn a_caller_that_leaves_is_noticed(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let id = cx.name();
    // The reply has begun, so that no limit for its first byte can end it.
    let order = format!("/do/text?text=x&pause=60000&id={id}");
    let mut connection = cx.connect().await?;
    let request = cx.prepare(Request::get(function.path(&order)));
    let sent = connection.send(&request).await;
    sent.map_err(|source| Stop::Provider {
        call: request.line(),
        source,
    })?;
    let calls = Request::get(function.path(&format!("/do/calls?id={id}")));
    let ended = |answer: &Answer| {
        let json = echo(answer);
        json.pointer("/calls/0")
            .map(|call| text(call, "/ended").to_owned())
    };
    let limit = cx.timeouts().settle;
    let arrived = cx
        .poll(
            "the call to reach the function",
            limit,
            calls.clone(),
            |answer| ended(answer).is_some(),
        )
        .await?;
    if let Err(answer) = arrived {
        return Err(Stop::Setup(format!(
            "the call did not arrive: {}",
            answer.shown()
        )));
    }
    drop(connection);
    let polled = cx.poll(
        "the function to see its caller leave",
        limit,
        calls,
        |answer| ended(answer).is_some_and(|how| how == "gone"),
    );
    let noticed = polled.await?;
    cx.check("OFP-INV-048", noticed.is_ok(), || {
        format!("{limit:?} after its caller left the function knows of {noticed:?}")
    });
    Ok(())
}

async fn a_late_reply_is_a_failure(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let id = cx.name();
    let order = format!("/do/text?text=late&sleep=30000&id={id}");
    let answer = cx.get(&function.path(&order)).await?;
    let failed = (500..600).contains(&answer.status());
    cx.check("OFP-INV-051", failed, || {
        format!("a function that answers after 30 s gave {}", answer.shown())
    });
    let calls = echo(
        &cx.get(&function.path(&format!("/do/calls?id={id}")))
            .await?,
    );
    let count = calls
        .get("calls")
        .and_then(serde_json::Value::as_array)
        .map(Vec::len);
    cx.check(
        "OFP-INV-052",
        answer.status() == 504 && count == Some(1),
        || {
            format!(
                "the late call gave {} and ran {count:?} times",
                answer.shown()
            )
        },
    );
    Ok(())
}

async fn a_reply_that_goes_on_is_not_cut(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    // The limit is declared to be at most 3 s; this takes 3.5.
    let order = "/do/stream?pieces=8&gap=500";
    let got = cx.try_send(Request::get(function.path(order))).await;
    let whole = got
        .as_ref()
        .is_ok_and(|answer| answer.text() == "0\n1\n2\n3\n4\n5\n6\n7\n");
    cx.check("OFP-INV-053", whole, || {
        let saw = shown(&got);
        format!("8 pieces, half a second between them, gave {saw}")
    });
    Ok(())
}
