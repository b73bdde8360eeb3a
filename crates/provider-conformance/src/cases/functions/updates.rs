//! `PUT /system/functions`.

use std::sync::atomic::{AtomicBool, Ordering};

use provider_types::wire::{FunctionDeployment, FunctionResources};
use serde_json::Value;

use super::super::steps::{
    environment, list, member_texts, replica, status_document, times_listed, together,
};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Function, Stop};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "functions";
    what_does_not_exist_cannot_be_updated: ["OFP-FUN-014"],
    an_update_replaces_the_whole_function: [
        "OFP-FUN-015", "OFP-FUN-016", "OFP-FUN-017", "OFP-FUN-021",
    ],
    an_update_that_fails_says_so: ["OFP-FUN-018", "OFP-FUN-019"],
    no_call_fails_because_of_an_update: ["OFP-FUN-020"],
};

async fn what_does_not_exist_cannot_be_updated(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let answer = cx.update(&cx.deployment(&name)).await?;
    cx.check("OFP-FUN-014", answer.status() == 404, || {
        format!(
            "an update of a function that does not exist was answered with {}",
            answer.shown()
        )
    });
    let status = cx.get(&format!("/system/function/{name}")).await?;
    let listed = times_listed(&list(cx).await?, &name);
    cx.check("OFP-FUN-014", status.status() == 404 && listed == 0, || {
        format!(
            "an update has made a function: listed {listed} times, status {}",
            status.shown()
        )
    });
    Ok(())
}

/// The test function with a version, which stands in a variable, a label and an annotation.
fn version(cx: &Context, name: &str, version: &str) -> FunctionDeployment {
    let pair = |name: &str| (name.to_owned(), version.to_owned());
    let mut deployment = cx.deployment(name);
    deployment.env_vars.extend([pair("VERSION")]);
    deployment.labels = Some([pair("version")].into());
    deployment.annotations = Some([pair("version")].into());
    deployment
}

async fn an_update_replaces_the_whole_function(cx: &Context) -> Result<(), Stop> {
    let mut first = version(cx, &cx.name(), "1");
    let old = || ("old".to_owned(), "old".to_owned());
    first
        .env_vars
        .extend([("OLD".to_owned(), "old".to_owned())]);
    first.labels.get_or_insert_default().extend([old()]);
    first.annotations.get_or_insert_default().extend([old()]);
    let function = cx.deployed(&first).await?;

    let second = version(cx, &function.name, "2");
    let answer = cx.update(&second).await?;
    cx.require("OFP-FUN-015", matches!(answer.status(), 200 | 202), || {
        format!("an update was answered with {}", answer.shown())
    })?;
    replaced(cx, &function).await?;
    let limit = cx.timeouts().ready;
    let request = Request::get(function.path("/do/environment"));
    let polled = cx.poll("calls to reach the new version", limit, request, |answer| {
        let told = answer.json().unwrap_or_default();
        let variables = member_texts(&told, "variables");
        variables.get("VERSION").is_some_and(|text| text == "2")
    });
    let polled = polled.await?;
    cx.require("OFP-FUN-017", polled.is_ok(), || {
        let seen = polled.as_ref().err().map(Answer::shown);
        format!(
            "{limit:?} after an update from VERSION 1 to VERSION 2 a call is answered with {}",
            seen.unwrap_or_default()
        )
    })?;
    let old = environment(cx, &function).await?.remove("OLD");
    cx.check("OFP-FUN-016", old.is_none(), || {
        format!("version 2 has no variable OLD, and the function sees {old:?} in it")
    });

    let answer = cx.update(&second).await?;
    cx.check("OFP-FUN-021", answer.is_success(), || {
        format!("the same update again was answered with {}", answer.shown())
    });
    cx.available(&function.name, "").await?;
    let call = cx.get(&function.path("/")).await?;
    cx.check("OFP-FUN-021", call.is_success(), || {
        format!(
            "after the same update again a call was answered with {}",
            call.shown()
        )
    });
    replaced(cx, &function).await
}

/// Judges whether the status is that of the second version.
async fn replaced(cx: &Context, function: &Function) -> Result<(), Stop> {
    let limit = cx.timeouts().settle;
    let request = Request::get(function.status_path());
    let polled = cx.poll("the status of the new version", limit, request, |answer| {
        let status = answer.json().unwrap_or_default();
        let whole = |member: &str| {
            let texts = member_texts(&status, member);
            texts.get("version").is_some_and(|text| text == "2") && !texts.contains_key("old")
        };
        let variables = member_texts(&status, "envVars");
        whole("labels") && whole("annotations") && !variables.contains_key("OLD")
    });
    let polled = polled.await?;
    cx.check("OFP-FUN-016", polled.is_ok(), || {
        let last = polled.as_ref().err();
        let status = last.and_then(|last| last.json().ok()).unwrap_or_default();
        let shown = |member: &str| format!("{member} {:?}", member_texts(&status, member));
        format!(
            "version 2 has no label, annotation or variable of the name old; {limit:?} after the \
             update the status has {}, {}, {}",
            shown("labels"),
            shown("annotations"),
            shown("envVars")
        )
    });
    Ok(())
}

async fn an_update_that_fails_says_so(cx: &Context) -> Result<(), Stop> {
    let function = cx.deployed(&version(cx, &cx.name(), "1")).await?;
    let running = replica(cx, &function).await?;

    let mut wrong = Vec::new();
    let mut quantity = version(cx, &function.name, "quantity");
    quantity.limits = Some(FunctionResources::new("lots", ""));
    wrong.push(("a quantity that is none", quantity));
    if cx.declares(Profile::Secrets) {
        let mut secret = version(cx, &function.name, "secret");
        secret.secrets = vec![cx.name()];
        wrong.push(("a secret that does not exist", secret));
    }
    let mut refused = false;
    for (what, deployment) in wrong {
        let before = status_document(cx, &function).await?;
        let answer = cx.update(&deployment).await?;
        if answer.is_success() {
            happened(cx, &function, what, &deployment).await?;
            continue;
        }
        cx.check("OFP-FUN-018", true, String::new);
        refused = true;
        let after = cx.get(&function.status_path()).await?;
        let now = after.json().unwrap_or_default();
        let same = |member: &str| before.get(member) == now.get(member);
        let stayed = same("labels") && same("annotations") && same("envVars") && same("image");
        cx.check("OFP-FUN-019", stayed, || {
            let after = after.shown();
            format!("an update with {what} was refused and turned {before} into {after}")
        });
        let call = cx.get(&function.path("/do/identity")).await?;
        let told = call.json().unwrap_or_default();
        let same = told.get("replica").and_then(Value::as_str) == Some(&*running);
        cx.check("OFP-FUN-019", same, || {
            format!(
                "an update with {what} was refused; before, calls reached {running}, and now: {}",
                call.shown()
            )
        });
    }
    if !refused {
        cx.not_applicable("OFP-FUN-019", "no update was refused");
    }
    Ok(())
}

/// Judges an update that was accepted although it could have been refused: then it must happen.
async fn happened(
    cx: &Context,
    function: &Function,
    what: &str,
    deployment: &FunctionDeployment,
) -> Result<(), Stop> {
    let limit = cx.timeouts().settle;
    let request = Request::get(function.status_path());
    let label = deployment
        .labels
        .as_ref()
        .and_then(|all| all.get("version"));
    let polled = cx.poll("an accepted update to happen", limit, request, |answer| {
        let status = answer.json().unwrap_or_default();
        member_texts(&status, "labels").get("version") == label
    });
    let polled = polled.await?;
    cx.check("OFP-FUN-018", polled.is_ok(), || {
        let last = polled.as_ref().err().map(Answer::shown);
        format!(
            "an update with {what} was answered as done, and {limit:?} later the status is {}",
            last.unwrap_or_default()
        )
    });
    Ok(())
}

async fn no_call_fails_because_of_an_update(cx: &Context) -> Result<(), Stop> {
    let function = cx.deployed(&version(cx, &cx.name(), "1")).await?;
    let old = replica(cx, &function).await?;
    let done = AtomicBool::new(false);
    let failed = |answer: &Result<Answer, crate::wire::WireError>| match answer {
        Ok(answer) if answer.is_success() => None,
        Ok(answer) => Some(answer.shown()),
        Err(error) => Some(error.to_string()),
    };
    // One caller after another, until the update is through.
    let calling = |path: &'static str| {
        let (function, done) = (&function, &done);
        async move {
            let mut count = 0_u32;
            loop {
                let last = done.load(Ordering::Relaxed);
                let answer = cx.try_send(Request::get(function.path(path))).await;
                count += 1;
                if let Some(failure) = failed(&answer) {
                    return Some(format!("call {count} to {path}: {failure}"));
                }
                if last {
                    return None;
                }
            }
        }
    };
    let updating = async {
        let answer = cx.update(&version(cx, &function.name, "2")).await?;
        let limit = cx.timeouts().ready;
        let request = Request::get(function.path("/do/identity"));
        let polled = cx.poll("calls to reach the new version", limit, request, |answer| {
            let told = answer.json().unwrap_or_default();
            answer.is_success() && told.get("replica").and_then(Value::as_str) != Some(&*old)
        });
        let polled = polled.await;
        done.store(true, Ordering::Relaxed);
        match (answer.is_success(), polled?) {
            (true, Ok(_)) => Ok(()),
            (true, Err(last)) => Err(Stop::Setup(format!(
                "no new version after {limit:?}: {}",
                last.shown()
            ))),
            (false, _) => {
                let text = format!("the update was answered with {}", answer.shown());
                Err(Stop::Setup(text))
            }
        }
    };
    let paths = ["/do/text?sleep=20", "/do/text?sleep=300", "/do/none", "/"];
    let (failures, updated) = tokio::join!(together(paths.map(calling)), updating);
    updated?;
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    cx.check("OFP-FUN-020", failures.is_empty(), || {
        format!("while the function was updated, {}", failures.join("; "))
    });
    // Whoever is called now is of the new version.
    let version = environment(cx, &function).await?.remove("VERSION");
    cx.check("OFP-FUN-020", version.as_deref() == Some("2"), || {
        format!("after the update a call sees VERSION {version:?}")
    });
    Ok(())
}
