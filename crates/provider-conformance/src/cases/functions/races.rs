//! Requests for one function that come at the same time.

use serde_json::Value;

use super::super::steps::{list, member_texts, times_listed, together};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop};
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "functions";
    deployments_at_once_make_one_function: ["OFP-FUN-053", "OFP-FUN-054"],
    updates_at_once_end_in_one_of_them: ["OFP-FUN-055"],
    deletions_at_once_are_each_answered: ["OFP-FUN-056"],
};

/// How many requests come at the same time.
const AT_ONCE: usize = 8;

fn statuses(answers: &[Answer]) -> String {
    let each = answers.iter().map(|answer| answer.status().to_string());
    each.collect::<Vec<_>>().join(", ")
}

async fn deployments_at_once_make_one_function(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let deployment = cx.deployment(&name);
    let answers = together((0..AT_ONCE).map(|_| cx.deploy(&deployment))).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
    let accepted = answers.iter().filter(|answer| answer.is_success()).count();
    let broken = answers.iter().any(|answer| answer.status() >= 500);
    cx.check("OFP-FUN-054", accepted == 1 && !broken, || {
        format!(
            "{AT_ONCE} deployments of one new name at once were answered with {}",
            statuses(&answers)
        )
    });
    cx.require("OFP-FUN-053", accepted > 0, || {
        format!(
            "of {AT_ONCE} deployments of one new name none was accepted: {}",
            statuses(&answers)
        )
    })?;
    let available = cx.available(&name, "").await;
    cx.require("OFP-FUN-053", available.is_ok(), || {
        let stop = available.as_ref().err().map(ToString::to_string);
        format!(
            "after {AT_ONCE} deployments at once: {}",
            stop.unwrap_or_default()
        )
    })?;
    let listed = times_listed(&list(cx).await?, &name);
    cx.check("OFP-FUN-053", listed == 1, || {
        format!("after {AT_ONCE} deployments at once the name is listed {listed} times")
    });
    let call = cx.get(&available?.path("/")).await?;
    cx.check("OFP-FUN-053", call.is_success(), || {
        format!(
            "after {AT_ONCE} deployments at once a call is answered with {}",
            call.shown()
        )
    });
    Ok(())
}

async fn updates_at_once_end_in_one_of_them(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let updates = (1..=4).map(|number| {
        let pair = |name: &str| (name.to_owned(), number.to_string());
        let mut deployment = cx.deployment(&function.name);
        deployment.env_vars.extend([pair("VERSION")]);
        deployment.labels = Some([pair("version"), pair("twin")].into());
        deployment.annotations = Some([pair("version")].into());
        async move { cx.update(&deployment).await }
    });
    let answers = together(updates).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
    if !answers.iter().any(Answer::is_success) {
        let text = format!("no update was accepted: {}", statuses(&answers));
        return Err(Stop::Setup(text));
    }
    // What the status says, if it is of one piece.
    let one_of_them = |status: &Value| {
        let labels = member_texts(status, "labels");
        let version = labels.get("version").cloned()?;
        let notes = member_texts(status, "annotations");
        let same = labels.get("twin") == Some(&version) && notes.get("version") == Some(&version);
        same.then_some(version)
    };
    let whole = |answer: &Answer| one_of_them(&answer.json().unwrap_or_default()).is_some();
    let limit = cx.timeouts().settle;
    let request = Request::get(function.status_path());
    let polled = cx.poll("updates to come to an end", limit, request, whole);
    let polled = polled.await?;
    cx.require("OFP-FUN-055", polled.is_ok(), || {
        let last = polled.as_ref().err().map(Answer::shown);
        format!(
            "after 4 updates at once the status is {}",
            last.unwrap_or_default()
        )
    })?;

    // And what runs is what the status says.
    let version = one_of_them(
        &polled
            .unwrap_or_else(|last| last)
            .json()
            .unwrap_or_default(),
    );
    let request = Request::get(function.path("/do/environment"));
    let running = |answer: &Answer| {
        let told = answer.json().unwrap_or_default();
        member_texts(&told, "variables").remove("VERSION")
    };
    let what = "calls to reach the version of the status";
    let same = |answer: &Answer| running(answer) == version;
    let polled = cx.poll(what, limit, request, same).await?;
    cx.check("OFP-FUN-055", polled.is_ok(), || {
        let last = polled.as_ref().err().and_then(running);
        format!(
            "{limit:?} after 4 updates at once the status is of version {version:?}, and calls \
             reach version {last:?}"
        )
    });
    Ok(())
}

async fn deletions_at_once_are_each_answered(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let answers = together((0..AT_ONCE).map(|_| cx.delete(&function))).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
    let each = |answer: &Answer| matches!(answer.status(), 200 | 202 | 404);
    let deleted = answers.iter().any(Answer::is_success);
    cx.check("OFP-FUN-056", deleted && answers.iter().all(each), || {
        format!(
            "{AT_ONCE} deletions of one function at once were answered with {}",
            statuses(&answers)
        )
    });
    Ok(())
}
