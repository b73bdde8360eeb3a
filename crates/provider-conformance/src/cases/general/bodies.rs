//! How bodies may come, and what may be in them.

use std::collections::BTreeMap;

use provider_types::wire::{self, FunctionDeployment};
use serde_json::{Value, json};

use super::super::steps::{
    deploy_as, document, member_texts, missing, scaling, status_document, with,
};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Function, Stop};
use crate::wire::Request;

pub(in crate::cases) const CASES: &[Case] = cases! { "general";
    bodies_come_in_chunks: ["OFP-GEN-001"],
    bodies_need_no_content_type: ["OFP-GEN-002"],
    unknown_members_are_ignored: ["OFP-GEN-003"],
    null_is_as_absent: ["OFP-GEN-004"],
    names_of_members_match_in_any_case: ["OFP-GEN-008"],
    unknown_keys_of_a_query_are_ignored: ["OFP-GEN-014"],
    bodies_may_be_large: ["OFP-GEN-019"],
    a_body_waits_for_100_continue: ["OFP-GEN-020"],
    text_comes_back_as_it_was_sent: ["OFP-GEN-021"],
};

async fn bodies_come_in_chunks(cx: &Context) -> Result<(), Stop> {
    fn sent(request: Request, body: &[u8]) -> Request {
        let (first, second) = body.split_at(body.len() / 2);
        request
            .header("Content-Type", "application/json")
            .chunked([first, second])
    }
    mutations(cx, "OFP-GEN-001", "in chunks", sent, |body| body).await
}

async fn bodies_need_no_content_type(cx: &Context) -> Result<(), Stop> {
    mutations(cx, "OFP-GEN-002", "without a Content-Type", plain, |body| {
        body
    })
    .await
}

async fn unknown_members_are_ignored(cx: &Context) -> Result<(), Stop> {
    let unknown = |body| {
        let body = with(body, "network", json!("func_functions"));
        let body = with(body, "registryAuth", json!(""));
        with(
            body,
            "unknown",
            json!({"of": ["any", 1.5, null], "kind": {}}),
        )
    };
    let how = "with members that the API does not have";
    mutations(cx, "OFP-GEN-003", how, json_body, unknown).await
}

async fn bodies_may_be_large(cx: &Context) -> Result<(), Stop> {
    // In a member that is not read, so that no other bound is met.
    let large = |body| with(body, "padding", json!("x".repeat(256 * 1024 - 4096)));
    mutations(cx, "OFP-GEN-019", "of nearly 256 KiB", json_body, large).await
}

fn plain(request: Request, body: &[u8]) -> Request {
    request.body(body)
}

fn json_body(request: Request, body: &[u8]) -> Request {
    request.json(body)
}

/// Deploys, updates, scales and deletes a function by bodies that come in a certain way.
async fn mutations(
    cx: &Context,
    id: &'static str,
    how: &str,
    send: impl Fn(Request, &[u8]) -> Request,
    body: impl Fn(Value) -> Value,
) -> Result<(), Stop> {
    let bytes = |value: Value| body(value).to_string().into_bytes();
    let name = cx.name();
    let deployment = cx.deployment(&name);
    let whole = bytes(document(&deployment)?);
    let target = "/system/functions";
    let answer = deploy_as(cx, &name, send(Request::post(target), &whole)).await?;
    cx.require(id, answer.is_success(), || {
        format!("a deployment {how} was answered with {}", answer.shown())
    })?;
    let function = cx.available(&name, "").await?;
    let answer = cx.send(send(Request::put(target), &whole)).await?;
    cx.check(id, answer.is_success(), || {
        format!("an update {how} was answered with {}", answer.shown())
    });

    // A provider that does not scale at all is told so elsewhere.
    if cx.send(scaling(&function, 1)).await?.is_success() {
        let scale = Request::post(format!("/system/scale-function/{name}"));
        let scaled = bytes(json!({"serviceName": name, "replicas": 1}));
        let answer = cx.send(send(scale, &scaled)).await?;
        cx.check(id, answer.is_success(), || {
            format!("scaling {how} was answered with {}", answer.shown())
        });
    }
    let gone = bytes(json!({"functionName": name}));
    let answer = cx.send(send(Request::delete(target), &gone)).await?;
    cx.check(id, answer.is_success(), || {
        format!("a deletion {how} was answered with {}", answer.shown())
    });
    Ok(())
}

async fn null_is_as_absent(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let mut body = document(&cx.deployment(&name))?;
    for member in [
        "namespace",
        "envProcess",
        "envVars",
        "constraints",
        "secrets",
        "labels",
        "annotations",
        "limits",
        "requests",
        "readOnlyRootFilesystem",
    ] {
        if body.get(member).is_none() {
            body = with(body, member, Value::Null);
        }
    }
    let request = Request::post("/system/functions").json(body.to_string());
    let answer = deploy_as(cx, &name, request).await?;
    cx.require("OFP-GEN-004", answer.is_success(), || {
        format!(
            "a deployment with `null` for what is optional was answered with {}",
            answer.shown()
        )
    })?;
    let function = cx.available(&name, "").await;
    cx.check("OFP-GEN-004", function.is_ok(), || {
        "a function deployed with `null` for what is optional does not become available".to_owned()
    });
    Ok(())
}

async fn names_of_members_match_in_any_case(cx: &Context) -> Result<(), Stop> {
    let (name, other) = (cx.name(), cx.name());
    cx.will_create(Created::function(&other, ""));
    // The body of another function, its members in capitals, and then the name once more.
    let body = document(&cx.deployment(&other))?;
    let entries = body.as_object().into_iter().flatten();
    let shouted: serde_json::Map<String, Value> = entries
        .map(|(name, value)| (name.to_ascii_uppercase(), value.clone()))
        .collect();
    let shouted = Value::Object(shouted).to_string();
    let open = shouted.strip_suffix('}').unwrap_or(&shouted);
    let twice = format!("{open},\"service\":{}}}", json!(name));
    let request = Request::post("/system/functions").json(twice);
    let answer = deploy_as(cx, &name, request).await?;
    cx.require("OFP-GEN-008", answer.is_success(), || {
        format!(
            "a deployment with SERVICE, then service, was answered with {}",
            answer.shown()
        )
    })?;
    let last = cx.get(&format!("/system/function/{name}")).await?;
    cx.check("OFP-GEN-008", last.status() == 200, || {
        format!(
            "of two names, SERVICE and then service, the last one is not deployed: {}",
            last.shown()
        )
    });
    Ok(())
}

async fn unknown_keys_of_a_query_are_ignored(cx: &Context) -> Result<(), Stop> {
    let more = "verbose=1&unknown=%2B&flag";
    let name = cx.name();
    let request = Request::post(format!("/system/functions?{more}"))
        .json(wire::to_vec(&cx.deployment(&name)));
    let answer = deploy_as(cx, &name, request).await?;
    cx.require("OFP-GEN-014", answer.is_success(), || {
        format!(
            "POST /system/functions?{more} was answered with {}",
            answer.shown()
        )
    })?;
    for path in [
        "/system/info".to_owned(),
        "/system/functions".to_owned(),
        format!("/system/function/{name}"),
    ] {
        let answer = cx.get(&format!("{path}?{more}")).await?;
        cx.check("OFP-GEN-014", answer.status() == 200, || {
            format!("GET {path}?{more} was answered with {}", answer.shown())
        });
    }
    let request = Request::delete(format!("/system/functions?{more}"))
        .json(json!({"functionName": name}).to_string());
    let answer = cx.send(request).await?;
    cx.check("OFP-GEN-014", answer.is_success(), || {
        format!(
            "DELETE /system/functions?{more} was answered with {}",
            answer.shown()
        )
    });
    Ok(())
}

async fn a_body_waits_for_100_continue(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-GEN-020";
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let body = wire::to_vec(&cx.deployment(&name));
    let request = Request::post("/system/functions")
        .header("Expect", "100-continue")
        .json(body.clone());
    let head = cx.prepare(request).head(cx.address());
    let mut connection = cx.connect().await?;
    let stopped = |source| Stop::Provider {
        call: "POST /system/functions with Expect: 100-continue".to_owned(),
        source,
    };
    connection.write(&head).await.map_err(stopped)?;
    connection.set_limit(cx.timeouts().prompt);
    let first = connection.head("POST").await;
    let status = first.as_ref().map(|head| head.status);
    cx.require(id, status.is_ok(), || {
        let error = status.as_ref().err().map(ToString::to_string);
        format!(
            "a request with `Expect: 100-continue` was sent without its body: {}",
            error.unwrap_or_default()
        )
    })?;
    if matches!(status, Ok(100)) {
        connection.set_limit(cx.timeouts().answer);
        connection.write(&body).await.map_err(stopped)?;
        let answer = connection.answer("POST").await.map_err(stopped)?;
        cx.check(id, answer.is_success(), || {
            format!(
                "after 100 Continue and the body the answer was {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn text_comes_back_as_it_was_sent(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-GEN-021";
    let mut deployment: FunctionDeployment = cx.deployment(&cx.name());
    let texts: BTreeMap<String, String> = [
        ("latin", "Grüße, señor Ångström"),
        ("wide", "日本語 ☃ Ωμέγα עברית"),
        ("astral", "😀 𝄞 👩‍👩‍👧"),
        ("markup", "<a href=\"x\">&amp;</a> 'quoted' \\back\\slash"),
        ("lines", "one\ntwo\r\nthree\tend"),
        ("separators", "a\u{2028}b\u{2029}c\u{a0}d\u{feff}e"),
        ("combining", "e\u{301} is not é"),
        ("json", "{\"a\": [1, \"\\u0041\"]}"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    deployment.annotations = Some(texts.clone());
    // Every character outside ASCII as an escape, which is the same text.
    let escaped = |text: String| {
        let mut out = String::new();
        for character in text.chars() {
            if character.is_ascii() {
                out.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        out
    };
    for (how, body) in [
        ("as it is", document(&deployment)?.to_string()),
        ("in escapes", escaped(document(&deployment)?.to_string())),
    ] {
        let name = deployment.service.clone();
        let (request, what) = match how {
            "as it is" => (Request::post("/system/functions"), "deployment"),
            _ => (Request::put("/system/functions"), "update"),
        };
        let answer = deploy_as(cx, &name, request.json(body)).await?;
        cx.require(id, answer.is_success(), || {
            format!(
                "a {what} with annotations of many scripts, {how}, was answered with {}",
                answer.shown()
            )
        })?;
        let function: Function = cx.available(&name, "").await?;
        let answer = cx.get(&function.status_path()).await?;
        cx.check(id, std::str::from_utf8(&answer.body).is_ok(), || {
            "the status is no UTF-8".to_owned()
        });
        let status = status_document(cx, &function).await?;
        let lost = missing(&texts, &member_texts(&status, "annotations"));
        cx.check(id, lost.is_empty(), || {
            format!("of annotations that were sent {how}: {}", lost.join("; "))
        });
    }
    Ok(())
}
