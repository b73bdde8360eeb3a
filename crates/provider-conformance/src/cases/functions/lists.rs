//! `GET /system/functions`.

use serde_json::{Value, json};

use super::super::steps::{list, status_document, together};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "functions";
    the_list_has_every_function: [
        "OFP-FUN-029", "OFP-FUN-031", "OFP-FUN-032", "OFP-FUN-033", "OFP-FUN-034",
    ],
    alone a_list_of_nothing_is_an_empty_array: ["OFP-FUN-030"],
};

async fn the_list_has_every_function(cx: &Context) -> Result<(), Stop> {
    let deployed = together([cx.function(), cx.function(), cx.function()]).await;
    let functions: Vec<_> = deployed.into_iter().collect::<Result<_, _>>()?;

    let answer = cx.get("/system/functions").await?;
    let entries = match answer.json() {
        Ok(Value::Array(entries)) if answer.status() == 200 => Some(entries),
        _ => None,
    };
    cx.require("OFP-FUN-029", entries.is_some(), || {
        format!("GET /system/functions was answered with {}", answer.shown())
    })?;
    let entries = entries.unwrap_or_default();
    let text = |entry: &Value, member: &str| {
        let text = entry.get(member).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let nameless = entries
        .iter()
        .find(|entry| text(entry, "name").is_empty() || text(entry, "namespace").is_empty());
    cx.check("OFP-FUN-031", nameless.is_none(), || {
        format!(
            "an entry of the list is {}",
            nameless.unwrap_or(&Value::Null)
        )
    });
    let names: Vec<String> = entries.iter().map(|entry| text(entry, "name")).collect();
    cx.check("OFP-FUN-032", names.is_sorted(), || {
        format!("the names are, in this order: {}", names.join(", "))
    });
    for function in &functions {
        let entry = entries
            .iter()
            .find(|one| text(one, "name") == function.name);
        cx.require("OFP-FUN-029", entry.is_some(), || {
            format!("{} is available and not in the list", function.name)
        })?;
        let entry = entry.unwrap_or(&Value::Null);
        let number = |entry: &Value, member: &str| entry.get(member).and_then(Value::as_u64);
        cx.check("OFP-FUN-033", number(entry, "replicas") == Some(1), || {
            format!("one replica is wanted, and the entry is {entry}")
        });
        let status = status_document(cx, function).await?;
        let available = |entry: &Value| number(entry, "availableReplicas").unwrap_or_default();
        cx.check(
            "OFP-FUN-034",
            available(entry) == available(&status),
            || format!("the status is {status}, and the entry {entry}"),
        );
    }
    Ok(())
}

async fn a_list_of_nothing_is_an_empty_array(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-030";
    let judge = |answer: &Answer| {
        let empty = answer.json().is_ok_and(|list| list == json!([]));
        cx.check(id, empty, || {
            format!("the list of nothing is {}", answer.shown())
        });
    };
    if list(cx).await?.is_empty() {
        judge(&cx.get("/system/functions").await?);
        return Ok(());
    }
    if !cx.declares(Profile::Namespaces) {
        cx.not_applicable(id, "the provider has functions of its own");
        return Ok(());
    }
    let name = cx.name();
    cx.will_create(Created::namespace(&name));
    let body = json!({"name": name, "labels": {"openfaas": "1"}, "annotations": {"openfaas": "1"}});
    let request = Request::post("/system/namespace/").json(body.to_string());
    let made = cx.send(request).await?;
    if !made.is_success() {
        let text = format!("a namespace was answered with {}", made.shown());
        return Err(Stop::Setup(text));
    }
    judge(
        &cx.get(&format!("/system/functions?namespace={name}"))
            .await?,
    );
    Ok(())
}
