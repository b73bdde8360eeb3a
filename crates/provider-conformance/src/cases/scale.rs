//! `/system/scale-function`.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::steps::{
    arrived, list, replica, replicas, scaling, status_document, times_listed, together,
};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Function, Stop};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

pub(super) const CASES: &[Case] = cases! { "scale";
    one_replica_can_be_asked_for: ["OFP-SCL-001", "OFP-SCL-002"],
    what_does_not_exist_cannot_be_scaled: ["OFP-SCL-003"],
    the_path_says_which_function: ["OFP-SCL-004"],
    numbers_of_replicas_are_numbers: ["OFP-SCL-005", "OFP-SCL-006"],
    replicas_come_and_go: [
        "OFP-SCL-007", "OFP-SCL-008", "OFP-SCL-009", "OFP-SCL-010", "OFP-SCL-011",
    ],
    calls_outlive_their_replica: ["OFP-SCL-012"],
    a_label_says_how_many_replicas_at_first: ["OFP-SCL-013"],
    replicas_survive_an_update: ["OFP-SCL-014"],
    requests_at_once_end_in_one_of_them: ["OFP-SCL-015"],
};

fn path(name: &str) -> String {
    format!("/system/scale-function/{name}")
}

async fn one_replica_can_be_asked_for(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let answer = cx.send(scaling(&function, 1)).await?;
    cx.check("OFP-SCL-001", matches!(answer.status(), 200 | 202), || {
        format!("scaling to 1 was answered with {}", answer.shown())
    });
    // As the gateway does it: the namespace in the query, no Content-Type, in chunks.
    let body = json!({"serviceName": function.name, "replicas": 1}).to_string();
    let queried = format!("{}?namespace={}", path(&function.name), function.namespace);
    for request in [
        Request::post(path(&function.name)).json(body.clone()),
        Request::post(queried).chunked([body]),
    ] {
        let call = request.line();
        let answer = cx.send(request).await?;
        cx.check("OFP-SCL-002", answer.is_success(), || {
            format!(
                "{call} without `namespace` in its body was answered with {}",
                answer.shown()
            )
        });
    }
    let call = cx.get(&function.path("/")).await?;
    cx.check("OFP-SCL-001", call.is_success(), || {
        format!(
            "after scaling from 1 to 1 a call is answered with {}",
            call.shown()
        )
    });
    Ok(())
}

async fn what_does_not_exist_cannot_be_scaled(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let body = json!({"serviceName": name, "replicas": 1}).to_string();
    let answer = cx.send(Request::post(path(&name)).json(body)).await?;
    cx.check("OFP-SCL-003", answer.status() == 404, || {
        format!(
            "scaling a function that does not exist was answered with {}",
            answer.shown()
        )
    });
    let listed = times_listed(&list(cx).await?, &name);
    cx.check("OFP-SCL-003", listed == 0, || {
        format!("scaling {name}, which did not exist, has made it")
    });
    Ok(())
}

async fn the_path_says_which_function(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-SCL-004";
    let function = cx.function().await?;
    for body in [
        json!({"replicas": 1}),
        json!({"serviceName": "", "replicas": 1}),
        json!({"serviceName": cx.name(), "replicas": 1}),
    ] {
        let request = Request::post(path(&function.name)).json(body.to_string());
        let answer = cx.send(request).await?;
        cx.check(id, answer.is_success(), || {
            format!(
                "POST {} with {body} was answered with {}",
                path(&function.name),
                answer.shown()
            )
        });
    }
    if !cx.declares(Profile::Scale) {
        return Ok(());
    }
    let other = cx.function().await?;
    let body = json!({"serviceName": other.name, "replicas": 2}).to_string();
    let request = Request::post(path(&function.name)).json(body);
    let answer = cx.send(request).await?;
    if answer.is_success() {
        let limit = cx.timeouts().settle;
        let request = Request::get(function.status_path());
        let two = |answer: &Answer| replicas(answer).is_some_and(|(wanted, _)| wanted == 2);
        let polled = cx.poll("the function in the path to be scaled", limit, request, two);
        let scaled = polled.await?.is_ok();
        let bystander = replicas(&cx.get(&other.status_path()).await?);
        let untouched = bystander.is_some_and(|(wanted, _)| wanted == 1);
        cx.check(id, scaled && untouched, || {
            format!(
                "the function in the path has 2 replicas: {scaled}; the one in `serviceName` has \
                 (wanted, available) {bystander:?}"
            )
        });
    }
    Ok(())
}

async fn numbers_of_replicas_are_numbers(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let wanted = async || Ok::<_, Stop>(replicas(&cx.get(&function.status_path()).await?));
    let before = wanted().await?;
    for count in [json!(-1), json!(1.5), json!("2"), json!([1])] {
        let body = json!({"serviceName": function.name, "replicas": count}).to_string();
        let request = Request::post(path(&function.name)).json(body);
        let answer = cx.send(request).await?;
        cx.check("OFP-SCL-005", answer.status() == 400, || {
            format!("`replicas` {count} was answered with {}", answer.shown())
        });
    }
    let after = wanted().await?;
    cx.check("OFP-SCL-005", before == after, || {
        format!("requests that were refused turned {before:?} (wanted, available) into {after:?}")
    });
    let answer = cx.send(scaling(&function, 1_000_000_000)).await?;
    if answer.is_success() {
        // Before it runs away.
        cx.send(scaling(&function, 1)).await?;
    }
    let text = answer.text();
    let bounded = text
        .replace("1000000000", "")
        .contains(|character: char| character.is_ascii_digit());
    cx.check("OFP-SCL-006", answer.is_refusal() && bounded, || {
        format!("`replicas` 1000000000 was answered with {}", answer.shown())
    });
    Ok(())
}

/// Scales, and waits until as many replicas are available.
async fn scaled(cx: &Context, function: &Function, count: u64) -> Result<(), Stop> {
    let answer = cx.send(scaling(function, count)).await?;
    if !answer.is_success() {
        let text = format!("scaling to {count} was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    match available(cx, function, count).await? {
        Ok(_) => Ok(()),
        Err(last) => Err(Stop::Setup(format!(
            "{count} replicas were asked for: {}",
            last.shown()
        ))),
    }
}

async fn available(
    cx: &Context,
    function: &Function,
    count: u64,
) -> Result<Result<Answer, Answer>, Stop> {
    let request = Request::get(function.status_path());
    let ready = |answer: &Answer| replicas(answer) == Some((count, count));
    let limit = cx.timeouts().ready;
    cx.poll("replicas to come or go", limit, request, ready)
        .await
}

async fn replicas_come_and_go(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for count in [3, 1, 2] {
        let answer = cx.send(scaling(&function, count)).await?;
        if !answer.is_success() {
            let text = format!("scaling to {count} was answered with {}", answer.shown());
            return Err(Stop::Setup(text));
        }
        let first = cx.get(&function.status_path()).await?;
        let at_once = replicas(&first).is_some_and(|(wanted, _)| wanted == count);
        cx.check("OFP-SCL-008", at_once, || {
            format!(
                "right after scaling to {count} the status is {}",
                first.shown()
            )
        });
        let limit = cx.timeouts().settle;
        let request = Request::get(function.status_path());
        let says = |answer: &Answer| replicas(answer).is_some_and(|(wanted, _)| wanted == count);
        let polled = cx.poll("the number that was asked for", limit, request, says);
        let polled = polled.await?;
        cx.require("OFP-SCL-007", polled.is_ok(), || {
            let last = polled.as_ref().err().map(Answer::shown);
            format!(
                "{limit:?} after scaling to {count} the status is {}",
                last.unwrap_or_default()
            )
        })?;
        let settled = available(cx, &function, count).await?;
        cx.require("OFP-SCL-009", settled.is_ok(), || {
            let last = settled.as_ref().err().map(Answer::shown);
            let limit = cx.timeouts().ready;
            format!(
                "{limit:?} after scaling to {count} the status is {}",
                last.unwrap_or_default()
            )
        })?;
        if count == 3 {
            all_are_called(cx, &function, 3).await?;
        }
    }
    let before = all_are_called(cx, &function, 2).await?;
    let answer = cx.send(scaling(&function, 2)).await?;
    cx.check("OFP-SCL-011", answer.is_success(), || {
        format!("scaling from 2 to 2 was answered with {}", answer.shown())
    });
    let after = all_are_called(cx, &function, 2).await?;
    let now = status_document(cx, &function).await?;
    let count = now.get("replicas").and_then(Value::as_u64);
    cx.check("OFP-SCL-011", count == Some(2) && before == after, || {
        format!("scaling from 2 to 2 turned the replicas {before:?} into {after:?}; status {now}")
    });
    Ok(())
}

/// Calls until all replicas have answered; a chance as small as (2/3)^100 stays for a fair choice.
async fn all_are_called(
    cx: &Context,
    function: &Function,
    count: usize,
) -> Result<BTreeSet<String>, Stop> {
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        seen.insert(replica(cx, function).await?);
        if seen.len() >= count {
            break;
        }
    }
    cx.check("OFP-SCL-010", seen.len() == count, || {
        format!(
            "of {count} replicas that are available, {} answered 100 calls",
            seen.len()
        )
    });
    Ok(seen)
}

async fn calls_outlive_their_replica(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    scaled(cx, &function, 2).await?;
    let count = 6;
    let calls = (0..count).map(|_| {
        let call = Request::get(function.path("/do/text?text=done&sleep=500&id=last"));
        cx.try_send(call)
    });
    let scaling_down = async {
        arrived(cx, &function, "last", count).await?;
        cx.send(scaling(&function, 1)).await
    };
    let (answers, answer) = tokio::join!(together(calls), scaling_down);
    let answer = answer?;
    if !answer.is_success() {
        let text = format!("scaling to 1 was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    let lost: Vec<String> = answers
        .iter()
        .filter_map(|answer| match answer {
            Ok(answer) if answer.status() == 200 && answer.body == b"done" => None,
            Ok(answer) => Some(answer.shown()),
            Err(error) => Some(error.to_string()),
        })
        .collect();
    cx.check("OFP-SCL-012", lost.is_empty(), || {
        format!(
            "of {count} calls that ran on 2 replicas while one was taken away, {} failed: {}",
            lost.len(),
            lost.join("; ")
        )
    });
    Ok(())
}

async fn a_label_says_how_many_replicas_at_first(cx: &Context) -> Result<(), Stop> {
    let mut deployment = cx.deployment(&cx.name());
    let least = ("com.openfaas.scale.min".to_owned(), "2".to_owned());
    deployment.labels = Some([least].into());
    let function = cx.deployed(&deployment).await?;
    let settled = available(cx, &function, 2).await?;
    cx.check("OFP-SCL-013", settled.is_ok(), || {
        let last = settled.as_ref().err().map(Answer::shown);
        format!(
            "with the label com.openfaas.scale.min of 2 the status is {}",
            last.unwrap_or_default()
        )
    });
    Ok(())
}

async fn replicas_survive_an_update(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    scaled(cx, &function, 2).await?;
    let mut deployment = cx.deployment(&function.name);
    deployment.labels = Some([("version".to_owned(), "2".to_owned())].into());
    let answer = cx.update(&deployment).await?;
    if !answer.is_success() {
        let text = format!("the update was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    let settled = available(cx, &function, 2).await?;
    cx.check("OFP-SCL-014", settled.is_ok(), || {
        let last = settled.as_ref().err().map(Answer::shown);
        format!(
            "there were 2 replicas before the update, and now: {}",
            last.unwrap_or_default()
        )
    });
    Ok(())
}

async fn requests_at_once_end_in_one_of_them(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-SCL-015";
    let function = cx.function().await?;
    let requests = [2, 3, 2, 3].map(|count| cx.send(scaling(&function, count)));
    let answers = together(requests).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
    let accepted = answers.iter().all(Answer::is_success);
    cx.check(id, accepted, || {
        let statuses: Vec<String> = answers.iter().map(|one| one.status().to_string()).collect();
        format!(
            "4 requests at once to scale to 2 or 3 were answered with {}",
            statuses.join(", ")
        )
    });
    let start = Instant::now();
    let request = Request::get(function.status_path());
    let settled = |answer: &Answer| {
        replicas(answer).is_some_and(|(wanted, there)| wanted == there && wanted > 1)
    };
    let limit = cx.timeouts().ready;
    let polled = cx.poll("replicas to come or go", limit, request, settled);
    let polled = polled.await?;
    let number = polled.as_ref().ok().and_then(replicas);
    cx.check(id, matches!(number, Some((2 | 3, _))), || {
        let last = polled.as_ref().unwrap_or_else(|last| last);
        format!(
            "{:?} after requests at once to scale to 2 or 3 the status is {}",
            start.elapsed(),
            last.shown()
        )
    });
    Ok(())
}
