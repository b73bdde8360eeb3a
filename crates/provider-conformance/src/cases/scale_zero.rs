//! Functions that have no replica.

use super::steps::{list, member_texts, replica, replicas, scaling, times_listed, together};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Function, Stop};
use crate::requirement::Feature;
use crate::wire::{Answer, Request};

pub(super) const CASES: &[Case] = cases! { "scale-zero";
    a_function_sleeps_and_wakes: [
        "OFP-ZER-001", "OFP-ZER-002", "OFP-ZER-003", "OFP-ZER-004",
    ],
    only_the_function_answers_its_calls: ["OFP-ZER-005", "OFP-ZER-007"],
    a_sleeping_function_can_be_updated: ["OFP-ZER-006"],
    calls_at_once_wake_one_replica: ["OFP-ZER-008"],
};

/// Asks for no replica and waits until there is none.
async fn put_to_sleep(cx: &Context, function: &Function) -> Result<(), Stop> {
    let answer = cx.send(scaling(function, 0)).await?;
    if !answer.is_success() {
        let text = format!("scaling to 0 was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    match asleep(cx, function).await? {
        Ok(_) => Ok(()),
        Err(last) => Err(Stop::Setup(format!(
            "0 replicas were asked for: {}",
            last.shown()
        ))),
    }
}

async fn asleep(cx: &Context, function: &Function) -> Result<Result<Answer, Answer>, Stop> {
    let request = Request::get(function.status_path());
    let none = |answer: &Answer| replicas(answer) == Some((0, 0));
    cx.poll("the last replica to go", cx.timeouts().ready, request, none)
        .await
}

async fn a_function_sleeps_and_wakes(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let answer = cx.send(scaling(&function, 0)).await?;
    cx.check("OFP-ZER-001", matches!(answer.status(), 200 | 202), || {
        format!("scaling to 0 was answered with {}", answer.shown())
    });
    if !answer.is_success() {
        let text = format!("scaling to 0 was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    let slept = asleep(cx, &function).await?;
    cx.require("OFP-ZER-002", slept.is_ok(), || {
        let last = slept.as_ref().err().map(Answer::shown);
        format!(
            "{:?} after scaling to 0 the status is {}",
            cx.timeouts().ready,
            last.unwrap_or_default()
        )
    })?;
    let listed = times_listed(&list(cx).await?, &function.name);
    cx.check("OFP-ZER-003", listed == 1, || {
        format!("at zero it stands in the list {listed} times")
    });

    let answer = cx.send(scaling(&function, 1)).await?;
    cx.require("OFP-ZER-004", answer.is_success(), || {
        format!("scaling from 0 to 1 was answered with {}", answer.shown())
    })?;
    let available = cx.available(&function.name, &function.namespace).await;
    cx.require("OFP-ZER-004", available.is_ok(), || {
        let stop = available.as_ref().err().map(ToString::to_string);
        format!("scaled from 0 to 1: {}", stop.unwrap_or_default())
    })?;
    let call = cx.get(&function.path("/do/text?text=awake")).await?;
    let awake = call.is_success() && call.body == b"awake";
    cx.check("OFP-ZER-004", awake, || {
        format!(
            "scaled from 0 to 1 and available, a call is answered with {}",
            call.shown()
        )
    });
    Ok(())
}

async fn only_the_function_answers_its_calls(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    put_to_sleep(cx, &function).await?;
    let call = cx.get(&function.path("/do/text?text=awake")).await?;
    let answered = call.status() == 200 && call.body == b"awake";
    let failed = (500..600).contains(&call.status());
    cx.check("OFP-ZER-005", answered || failed, || {
        format!("a call at zero was answered with {}", call.shown())
    });
    cx.check("OFP-ZER-007", answered, || {
        format!("a call at zero was answered with {}", call.shown())
    });
    Ok(())
}

async fn a_sleeping_function_can_be_updated(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    put_to_sleep(cx, &function).await?;
    let mut deployment = cx.deployment(&function.name);
    deployment.labels = Some([("version".to_owned(), "2".to_owned())].into());
    let answer = cx.update(&deployment).await?;
    cx.check("OFP-ZER-006", answer.is_success(), || {
        format!("an update at zero was answered with {}", answer.shown())
    });
    if answer.is_success() {
        let request = Request::get(function.status_path());
        let updated = |answer: &Answer| {
            let labels = answer.json().unwrap_or_default();
            member_texts(&labels, "labels")
                .get("version")
                .is_some_and(|version| version == "2")
        };
        let limit = cx.timeouts().settle;
        let seen = cx
            .poll("the update to show", limit, request, updated)
            .await?;
        cx.check("OFP-ZER-006", seen.is_ok(), || {
            let last = seen.as_ref().err().map(Answer::shown);
            format!(
                "{limit:?} after an update at zero to the label version=2 the status is {}",
                last.unwrap_or_default()
            )
        });
    }
    Ok(())
}

async fn calls_at_once_wake_one_replica(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-ZER-008";
    if !cx.has(Feature::WakeOnCall) {
        // Each of these calls would last as long as the provider waits.
        return Ok(());
    }
    let function = cx.function().await?;
    put_to_sleep(cx, &function).await?;
    let call = Request::get(function.path("/do/text?text=awake"));
    let answers = together((0..8).map(|_| cx.try_send(call.clone()))).await;
    let lost: Vec<String> = answers
        .iter()
        .filter_map(|answer| match answer {
            Ok(answer) if answer.status() == 200 && answer.body == b"awake" => None,
            Ok(answer) => Some(answer.shown()),
            Err(error) => Some(error.to_string()),
        })
        .collect();
    cx.require(id, lost.is_empty(), || {
        format!(
            "of 8 calls at once at zero, {} failed: {}",
            lost.len(),
            lost.join("; ")
        )
    })?;
    let first = replica(cx, &function).await?;
    let status = cx.get(&function.status_path()).await?;
    let one = replicas(&status).is_some_and(|(wanted, _)| wanted == 1);
    let second = replica(cx, &function).await?;
    cx.check(id, one && first == second, || {
        format!(
            "after 8 calls at once at zero the status is {}, and the replicas that answer are \
             {first} and {second}",
            status.shown()
        )
    });
    Ok(())
}
