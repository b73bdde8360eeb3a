//! Functions from their deployment to their deletion.

use std::time::Duration;

use provider_types::wire::{self, FunctionStatus};

use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop, status};
use crate::wire::Request;

pub(super) const CASES: &[Case] = cases! { "functions";
    a_function_lives_and_goes: [
        "OFP-FUN-001", "OFP-FUN-002", "OFP-FUN-003", "OFP-FUN-004", "OFP-FUN-005", "OFP-FUN-006",
        "OFP-FUN-022", "OFP-FUN-023", "OFP-FUN-024",
    ],
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
    let listed = list(cx).await?.iter().any(|one| one.name == name);
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
    let listed = list(cx).await?.iter().any(|one| one.name == name);
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
    let listed = list(cx).await?.iter().any(|one| one.name == name);
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
        format!(
            "after {:?} a call is still answered",
            limit.max(Duration::ZERO)
        )
    });
    Ok(())
}

/// The functions of the default namespace.
async fn list(cx: &Context) -> Result<Vec<FunctionStatus>, Stop> {
    let answer = cx.get("/system/functions").await?;
    wire::from_slice(&answer.body)
        .map_err(|error| Stop::Setup(format!("the list cannot be read: {error}")))
}
