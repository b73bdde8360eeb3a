//! What a deployment gives a function to run with.

use std::collections::BTreeMap;

use super::super::steps::{environment, member_texts, missing, status_document};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};

pub(in crate::cases) const CASES: &[Case] = cases! { "functions";
    the_environment_reaches_the_function: ["OFP-FUN-012", "OFP-FUN-043"],
    a_command_may_stand_in_the_environment: ["OFP-FUN-013"],
};

async fn the_environment_reaches_the_function(cx: &Context) -> Result<(), Stop> {
    let mut wanted: BTreeMap<String, String> = [
        ("EMPTY", ""),
        ("EQUALS", "a=b==c="),
        ("BLANKS", "  two  words "),
        ("LINES", "one\ntwo\n\nfour"),
        ("UNICODE", "Grüße ☃ 日本 😀"),
        ("QUOTES", "\"double\" 'single' `back` \\ $HOME %PATH% ; | &"),
        ("lower_case", "kept"),
        ("MixedCase", "kept"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    wanted.insert("LARGE".to_owned(), "0123456789abcdef".repeat(1024));
    let many = (0..100).map(|number| (format!("MANY_{number}"), format!("value {number}")));
    wanted.extend(many);
    let mut deployment = cx.deployment(&cx.name());
    deployment.env_vars.extend(wanted.clone());

    let answer = cx.deploy(&deployment).await?;
    cx.require("OFP-FUN-012", answer.is_success(), || {
        format!(
            "a deployment with an environment of over 100 variables was answered with {}",
            answer.shown()
        )
    })?;
    let function = cx.available(&deployment.service, "").await?;
    let lost = missing(&wanted, &environment(cx, &function).await?);
    cx.check("OFP-FUN-012", lost.is_empty(), || {
        format!("in the environment of the function {}", lost.join("; "))
    });

    let status = status_document(cx, &function).await?;
    let have = member_texts(&status, "envVars");
    let lost = missing(&deployment.env_vars, &have);
    cx.check("OFP-FUN-043", lost.is_empty(), || {
        format!("in `envVars` of the status {}", lost.join("; "))
    });
    let more: Vec<&str> = have
        .keys()
        .filter(|name| !deployment.env_vars.contains_key(*name))
        .map(String::as_str)
        .collect();
    cx.check("OFP-FUN-043", more.is_empty(), || {
        format!("`envVars` of the status has also {}", more.join(", "))
    });
    Ok(())
}

async fn a_command_may_stand_in_the_environment(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-013";
    let mut deployment = cx.deployment(&cx.name());
    let command = std::mem::replace(&mut deployment.env_process, "no-such-program".to_owned());
    // An image has its command: there it is enough that the variable arrives.
    let runs = !command.is_empty();
    let winner = if runs { command } else { "winner".to_owned() };
    let variable = ("fprocess".to_owned(), winner.clone());
    deployment.env_vars.extend([variable]);
    let answer = cx.deploy(&deployment).await?;
    cx.require(id, answer.is_success(), || {
        format!(
            "a deployment with `fprocess` among its variables was answered with {}",
            answer.shown()
        )
    })?;
    let limit = cx.timeouts().settle;
    let request = crate::wire::Request::get(format!("/system/function/{}", deployment.service));
    let available = |answer: &crate::wire::Answer| {
        crate::context::status(answer).is_some_and(|status| status.available_replicas > 0)
    };
    let polled = cx.poll(
        "the function to become available",
        limit,
        request,
        available,
    );
    let polled = polled.await?;
    cx.require(id, polled.is_ok(), || {
        format!(
            "with the command in `fprocess` and another in `envProcess` the function is not \
             available after {limit:?}"
        )
    })?;
    if !runs {
        let function = cx.available(&deployment.service, "").await?;
        let have = environment(cx, &function).await?.remove("fprocess");
        cx.check(id, have.as_ref() == Some(&winner), || {
            format!("`fprocess` was {winner:?} and is {have:?} in the function")
        });
    }
    Ok(())
}
