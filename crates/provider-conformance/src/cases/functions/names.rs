//! Deployments that are refused.

use serde_json::{Value, json};

use super::super::steps::{deploy_as, document, list, status_document, times_listed, with};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop};
use crate::wire::Request;

pub(in crate::cases) const CASES: &[Case] = cases! { "functions";
    a_deployment_needs_a_name: ["OFP-FUN-007"],
    names_are_labels_of_dns: ["OFP-FUN-008"],
    a_name_that_exists_is_taken: ["OFP-FUN-009"],
    quantities_are_quantities: ["OFP-FUN-010"],
    limits_are_kept_or_refused: ["OFP-FUN-011"],
};

async fn a_deployment_needs_a_name(cx: &Context) -> Result<(), Stop> {
    let whole = document(&cx.deployment(""))?;
    let mut without = whole.clone();
    if let Some(object) = without.as_object_mut() {
        object.remove("service");
    }
    for (what, body) in [
        ("an empty `service`", whole.clone()),
        ("no `service`", without),
        ("`service` null", with(whole, "service", Value::Null)),
    ] {
        let request = Request::post("/system/functions").json(body.to_string());
        let answer = cx.send(request).await?;
        cx.check("OFP-FUN-007", answer.is_refusal(), || {
            format!(
                "a deployment with {what} was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn names_are_labels_of_dns(cx: &Context) -> Result<(), Stop> {
    let long = format!("{:x<64}", cx.name());
    for name in [
        format!("{}-Upper", cx.name()),
        format!("{}/slash", cx.name()),
        format!("{} blank", cx.name()),
        format!("-{}", cx.name()),
        format!("{}-", cx.name()),
        format!("../{}", cx.name()),
        format!("{}\n", cx.name()),
        long,
    ] {
        let body = document(&cx.deployment(&name))?;
        let answer = cx
            .send(Request::post("/system/functions").json(body.to_string()))
            .await?;
        if answer.is_success() {
            cx.will_create(Created::function(&name, ""));
        }
        cx.check("OFP-FUN-008", answer.status() == 400, || {
            format!(
                "a deployment of {name:?} was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn a_name_that_exists_is_taken(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-009";
    let function = cx.function().await?;
    let before = status_document(cx, &function).await?;
    let mut other = cx.deployment(&function.name);
    other.labels = Some([("second".to_owned(), "yes".to_owned())].into());
    let answer = cx.deploy(&other).await?;
    cx.check(id, answer.status() == 409, || {
        format!(
            "a second deployment of the name was answered with {}",
            answer.shown()
        )
    });
    let after = status_document(cx, &function).await?;
    let same = |member: &str| before.get(member) == after.get(member);
    cx.check(id, same("labels") && same("createdAt"), || {
        format!("the second deployment turned {before} into {after}")
    });
    let listed = times_listed(&list(cx).await?, &function.name);
    cx.check(id, listed == 1, || {
        format!("after a second deployment the name is listed {listed} times")
    });
    Ok(())
}

async fn quantities_are_quantities(cx: &Context) -> Result<(), Stop> {
    for (member, quantity) in [
        ("limits", json!({"memory": "lots"})),
        ("limits", json!({"memory": "12Q"})),
        ("limits", json!({"memory": "-1Mi"})),
        ("limits", json!({"cpu": "1.2.3"})),
        ("requests", json!({"memory": "1 2"})),
        ("requests", json!({"cpu": "half"})),
    ] {
        let name = cx.name();
        let body = with(document(&cx.deployment(&name))?, member, quantity.clone());
        let request = Request::post("/system/functions").json(body.to_string());
        let answer = deploy_as(cx, &name, request).await?;
        cx.check("OFP-FUN-010", answer.status() == 400, || {
            format!(
                "a deployment with {member} {quantity} was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn limits_are_kept_or_refused(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-011";
    let bound: u64 = 128 * 1024 * 1024;
    let name = cx.name();
    let limited = with(
        document(&cx.deployment(&name))?,
        "limits",
        json!({"memory": "128Mi"}),
    );
    let request = Request::post("/system/functions").json(limited.to_string());
    let answer = deploy_as(cx, &name, request).await?;
    if answer.is_success() {
        let function = cx.available(&name, "").await?;
        let told = super::super::steps::asked(cx, &function, "limits").await?;
        let memory = told.get("memory").and_then(Value::as_u64);
        cx.check(id, memory.is_some_and(|memory| memory <= bound), || {
            format!("a limit of 128Mi of memory was accepted, and the function sees {told}")
        });
    } else {
        cx.check(id, answer.text().trim().len() > 3, || {
            format!("limits are refused, and not why: {}", answer.shown())
        });
    }
    let name = cx.name();
    let read_only = with(
        document(&cx.deployment(&name))?,
        "readOnlyRootFilesystem",
        json!(true),
    );
    let request = Request::post("/system/functions").json(read_only.to_string());
    let answer = deploy_as(cx, &name, request).await?;
    let silent = !answer.is_success() && answer.text().trim().len() <= 3;
    cx.check(id, !silent, || {
        format!(
            "`readOnlyRootFilesystem` is refused, and not why: {}",
            answer.shown()
        )
    });
    Ok(())
}
