//! Functions from their deployment to their deletion.

use provider_types::wire::{self, DeleteFunctionRequest};

use super::super::steps::{arrived, list, times_listed, together};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop, status};
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "functions";
    a_function_lives_and_goes: [
        "OFP-FUN-001", "OFP-FUN-002", "OFP-FUN-003", "OFP-FUN-004", "OFP-FUN-005", "OFP-FUN-006",
        "OFP-FUN-022", "OFP-FUN-023", "OFP-FUN-024",
    ],
    what_does_not_exist_cannot_be_deleted: ["OFP-FUN-025", "OFP-FUN-026"],
    a_name_is_free_after_its_deletion: ["OFP-FUN-027"],
    calls_outlive_the_deletion_of_their_function: ["OFP-FUN-028"],
    only_replicas_that_answer_are_available: ["OFP-FUN-052"],
    functions_come_and_go_without_a_trace: ["OFP-FUN-057"],
};

async fn a_function_lives_and_goes(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let answer = cx.deploy(&cx.deployment(&name)).await?;
    cx.check("OFP-FUN-001", matches!(answer.status(), 200 | 202), || {
        format!("the deployment was answered with {}", answer.shown())
    });
    let accepted = answer.status() == 202 && answer.body.is_empty();
    cx.check("OFP-FUN-002", accepted, || answer.shown());
    if !answer.is_success() {
        return Err(Stop::Setup(format!("no deployment: {}", answer.shown())));
    }

    let status_target = format!("/system/function/{name}");
    let first = cx.get(&status_target).await?;
    let listed = times_listed(&list(cx).await?, &name) > 0;
    cx.check("OFP-FUN-004", listed && first.status() == 200, || {
        format!(
            "right after its deployment: listed {listed}, status {}",
            first.shown()
        )
    });
    let limit = cx.timeouts().settle;
    let request = Request::get(status_target.clone());
    let polled = cx.poll(
        "the deployed function to have a status",
        limit,
        request,
        |answer| status(answer).is_some(),
    );
    let found = polled.await?;
    let listed = times_listed(&list(cx).await?, &name) > 0;
    cx.require("OFP-FUN-003", listed && found.is_ok(), || {
        format!(
            "after {limit:?}: listed {listed}, status found {}",
            found.is_ok()
        )
    })?;

    let available = cx.available(&name, "").await;
    cx.require("OFP-FUN-005", available.is_ok(), || {
        available
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default()
    })?;
    let function = available?;
    let call = cx.send(Request::post(function.path("/"))).await?;
    cx.check("OFP-FUN-006", call.is_success(), || {
        format!("the first call was answered with {}", call.shown())
    });

    let answer = cx.delete(&function).await?;
    cx.check("OFP-FUN-022", matches!(answer.status(), 200..=202), || {
        format!("the deletion was answered with {}", answer.shown())
    });
    let request = Request::get(status_target);
    let polled = cx.poll(
        "the status of the deleted function to go",
        limit,
        request,
        |answer| answer.status() == 404,
    );
    let gone = polled.await?;
    let listed = times_listed(&list(cx).await?, &name) > 0;
    cx.check("OFP-FUN-023", gone.is_ok() && !listed, || {
        let status = gone
            .as_ref()
            .map_or_else(|answer| answer.shown(), |_| "404".to_owned());
        format!("after {limit:?}: listed {listed}, status {status}")
    });
    let request = Request::post(function.path("/"));
    let polled = cx.poll(
        "calls of the deleted function to be refused",
        limit,
        request,
        |answer| !answer.is_success(),
    );
    let refused = polled.await?;
    cx.check("OFP-FUN-024", refused.is_ok(), || {
        format!("after {limit:?} a call is still answered")
    });
    Ok(())
}

async fn what_does_not_exist_cannot_be_deleted(cx: &Context) -> Result<(), Stop> {
    let delete = |name: &str| {
        let body = wire::to_vec(&DeleteFunctionRequest::new(name));
        cx.send(Request::delete("/system/functions").json(body))
    };
    let answer = delete(&cx.name()).await?;
    cx.check("OFP-FUN-025", answer.status() == 404, || {
        format!(
            "the deletion of a function that never was is answered with {}",
            answer.shown()
        )
    });
    let function = cx.function().await?;
    cx.delete(&function).await?;
    let limit = cx.timeouts().settle;
    let request = Request::get(function.status_path());
    let gone = |answer: &Answer| answer.status() == 404;
    let polled = cx.poll("the deleted function to go", limit, request, gone);
    if polled.await?.is_ok() {
        let answer = cx.delete(&function).await?;
        cx.check("OFP-FUN-025", answer.status() == 404, || {
            format!("a second deletion was answered with {}", answer.shown())
        });
    }
    let answer = delete("").await?;
    cx.check("OFP-FUN-026", answer.status() == 400, || {
        format!(
            "a deletion with an empty name was answered with {}",
            answer.shown()
        )
    });
    Ok(())
}

async fn a_name_is_free_after_its_deletion(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-027";
    let function = cx.function().await?;
    for turn in 1..=2 {
        let answer = cx.delete(&function).await?;
        if !answer.is_success() {
            let text = format!("the deletion was answered with {}", answer.shown());
            return Err(Stop::Setup(text));
        }
        let answer = cx.deploy(&cx.deployment(&function.name)).await?;
        cx.require(id, answer.is_success(), || {
            format!(
                "deployment {turn} right after a deletion was answered with {}",
                answer.shown()
            )
        })?;
        let available = cx.available(&function.name, "").await;
        cx.require(id, available.is_ok(), || {
            let stop = available.as_ref().err().map(ToString::to_string);
            format!(
                "deployed {turn} times right after a deletion: {}",
                stop.unwrap_or_default()
            )
        })?;
        let call = cx.get(&function.path("/")).await?;
        cx.check(id, call.is_success(), || {
            format!(
                "deployed {turn} times right after a deletion, it answers with {}",
                call.shown()
            )
        });
    }
    Ok(())
}

async fn calls_outlive_the_deletion_of_their_function(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let call = Request::get(function.path("/do/text?text=done&sleep=400&id=last"));
    let calling = cx.try_send(call);
    let deleting = async {
        arrived(cx, &function, "last", 1).await?;
        cx.delete(&function).await
    };
    let (answer, deleted) = tokio::join!(calling, deleting);
    let deleted = deleted?;
    if !deleted.is_success() {
        let text = format!("the deletion was answered with {}", deleted.shown());
        return Err(Stop::Setup(text));
    }
    let done = answer
        .as_ref()
        .is_ok_and(|answer| answer.status() == 200 && answer.body == b"done");
    cx.check("OFP-FUN-028", done, || {
        let got = answer
            .as_ref()
            .map_or_else(ToString::to_string, Answer::shown);
        format!("a call that ran when its function was deleted: {got}")
    });
    Ok(())
}

async fn only_replicas_that_answer_are_available(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-052";
    let mut deployment = cx.deployment(&cx.name());
    let late = ("start_after".to_owned(), "600".to_owned());
    deployment.env_vars.extend([late]);
    let function = cx.deployed(&deployment).await?;
    let call = cx.get(&function.path("/")).await?;
    cx.check(id, call.is_success(), || {
        format!(
            "a function that listens 600 ms after its start is said to be available, and the \
             first call then is answered with {}",
            call.shown()
        )
    });

    // A command that is none; with an image there is none to give.
    let mut broken = cx.deployment(&cx.name());
    if broken.env_process.is_empty() {
        return Ok(());
    }
    "no-program-of-this-name".clone_into(&mut broken.env_process);
    if cx.deploy(&broken).await?.is_success() {
        tokio::time::sleep(cx.timeouts().quiet).await;
        let answer = cx
            .get(&format!("/system/function/{}", broken.service))
            .await?;
        let available = status(&answer).map_or(0, |status| status.available_replicas);
        cx.check(id, available == 0, || {
            format!(
                "the command does not exist, and the status is {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn functions_come_and_go_without_a_trace(cx: &Context) -> Result<(), Stop> {
    let names = [cx.name(), cx.name()];
    let turns = names.clone().map(async |name| {
        let deployment = cx.deployment(&name);
        for _ in 0..3 {
            cx.will_create(Created::function(&name, ""));
            cx.deploy(&deployment).await?;
            let mut body = DeleteFunctionRequest::new(&name);
            body.namespace.clone_from(&deployment.namespace);
            let request = Request::delete("/system/functions").json(wire::to_vec(&body));
            cx.send(request).await?;
        }
        Ok::<(), Stop>(())
    });
    for turn in together(turns).await {
        turn?;
    }
    let limit = cx.timeouts().settle;
    let absent = |answer: &Answer| {
        let text = answer.text();
        !names
            .iter()
            .any(|name| text.contains(&format!("\"{name}\"")))
    };
    let request = Request::get("/system/functions");
    let polled = cx.poll(
        "deleted functions to leave the list",
        limit,
        request,
        absent,
    );
    let gone = polled.await?;
    cx.check("OFP-FUN-057", gone.is_ok(), || {
        format!(
            "after three deployments and deletions {} is still listed",
            names.join(" or ")
        )
    });
    Ok(())
}
