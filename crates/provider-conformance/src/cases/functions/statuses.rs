//! `GET /system/function/NAME`: what was deployed comes back.

use std::collections::BTreeMap;
use std::time::SystemTime;

use provider_types::wire::{FunctionDeployment, FunctionResources};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::steps::{
    deploy_as, document, list, member_texts, missing, status_document, with,
};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Function, Stop};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "functions";
    a_status_is_found_or_not: ["OFP-FUN-035", "OFP-FUN-036"],
    a_status_says_what_was_deployed: [
        "OFP-FUN-037", "OFP-FUN-038", "OFP-FUN-039", "OFP-FUN-047", "OFP-FUN-051",
    ],
    a_plain_deployment_has_a_plain_status: ["OFP-FUN-042", "OFP-FUN-044"],
    labels_come_back: ["OFP-FUN-040", "OFP-FUN-037"],
    annotations_come_back: ["OFP-FUN-041", "OFP-FUN-037"],
    other_members_come_back: ["OFP-FUN-045"],
    quantities_come_back: ["OFP-FUN-046"],
    queries_of_a_status_change_nothing: ["OFP-FUN-048", "OFP-FUN-049"],
    usage_is_told_when_asked_for: ["OFP-FUN-050"],
};

/// Deploys, and gives the first answer of success about its status, whatever it says; nothing
/// where the deployment is refused.
async fn first_status(cx: &Context, name: &str, body: &Value) -> Result<Option<Answer>, Stop> {
    let request = Request::post("/system/functions").json(body.to_string());
    let answer = deploy_as(cx, name, request).await?;
    if answer.is_refusal() {
        return Ok(None);
    }
    let limit = cx.timeouts().settle;
    let request = Request::get(format!("/system/function/{name}"));
    let what = "the deployed function to have a status";
    match cx.poll(what, limit, request, Answer::is_success).await? {
        Ok(status) => Ok(Some(status)),
        Err(last) => Err(Stop::Setup(format!(
            "the deployment was answered with {}, and the status is {}",
            answer.shown(),
            last.shown()
        ))),
    }
}

/// The same for what nobody may refuse.
async fn plain_status(cx: &Context, deployment: &FunctionDeployment) -> Result<Answer, Stop> {
    let first = first_status(cx, &deployment.service, &document(deployment)?).await?;
    first.ok_or_else(|| Stop::Setup("a plain deployment is refused".to_owned()))
}

async fn a_status_is_found_or_not(cx: &Context) -> Result<(), Stop> {
    let answer = plain_status(cx, &cx.deployment(&cx.name())).await?;
    let object = answer.json().is_ok_and(|status| status.is_object());
    cx.check("OFP-FUN-035", answer.status() == 200 && object, || {
        format!(
            "the status of a function was answered with {}",
            answer.shown()
        )
    });
    let answer = cx.get(&format!("/system/function/{}", cx.name())).await?;
    cx.check("OFP-FUN-036", answer.status() == 404, || {
        format!(
            "the status of a function that does not exist was answered with {}",
            answer.shown()
        )
    });
    Ok(())
}

async fn a_status_says_what_was_deployed(cx: &Context) -> Result<(), Stop> {
    let deployment = cx.deployment(&cx.name());
    let before = OffsetDateTime::from(SystemTime::now());
    // Before anything that reads a status by its types.
    let first = plain_status(cx, &deployment).await?;
    well_formed(cx, &first.json().unwrap_or_default());
    let function = cx.available(&deployment.service, "").await?;
    let status = status_document(cx, &function).await?;
    let text = |member: &str| status.get(member).and_then(Value::as_str);
    well_formed(cx, &status);
    for entry in list(cx).await? {
        well_formed(cx, &entry);
    }
    let same = text("name") == Some(&*function.name)
        && text("image") == Some(&*deployment.image)
        && text("namespace").is_some_and(|namespace| !namespace.is_empty());
    cx.check("OFP-FUN-038", same, || {
        format!(
            "{} of {} has the status {status}",
            function.name, deployment.image
        )
    });
    let wanted = status.get("replicas").and_then(Value::as_u64);
    cx.check("OFP-FUN-039", wanted == Some(1), || {
        format!("one replica was deployed and the status is {status}")
    });
    let created = text("createdAt").and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let now = OffsetDateTime::from(SystemTime::now());
    let minute = time::Duration::minutes(1);
    let recent = created.is_some_and(|created| {
        created >= before - minute && created <= now + minute && created.offset().is_utc()
    });
    cx.check("OFP-FUN-047", recent, || {
        format!(
            "`createdAt` is {:?}, and the time was {before}",
            text("createdAt")
        )
    });
    let labels = member_texts(&status, "labels");
    cx.check(
        "OFP-FUN-051",
        labels.get("faas_function") == Some(&function.name),
        || format!("the labels are {labels:?}"),
    );
    Ok(())
}

/// Judges the types of a status.
fn well_formed(cx: &Context, status: &Value) {
    let faults = faults(status);
    cx.check("OFP-FUN-037", faults.is_empty(), || {
        let shown: String = status.to_string().chars().take(500).collect();
        format!("{} in {shown}", faults.join("; "))
    });
}

/// What go-sdk and the gateway could not read in a status. They take `null` for every member.
fn faults(status: &Value) -> Vec<String> {
    let Some(members) = status.as_object() else {
        return vec!["it is no object".to_owned()];
    };
    let texts = |value: &Value| {
        let entries = value.as_object();
        entries.is_some_and(|entries| {
            let mut values = entries.values();
            values.all(|value| value.is_string() || value.is_null())
        })
    };
    let wrong = |name: &str, value: &Value| match name {
        "name" | "image" | "namespace" | "envProcess" => (!value.is_string()).then_some("a string"),
        "envVars" | "labels" | "annotations" | "limits" | "requests" => {
            (!texts(value)).then_some("an object of strings")
        }
        "constraints" | "secrets" => {
            let all = |list: &Vec<Value>| list.iter().all(Value::is_string);
            (!value.as_array().is_some_and(all)).then_some("an array of strings")
        }
        "readOnlyRootFilesystem" => (!value.is_boolean()).then_some("a boolean"),
        "invocationCount" => (!value.is_number()).then_some("a number"),
        "replicas" | "availableReplicas" => {
            (!value.is_u64()).then_some("an integer that is not negative")
        }
        "createdAt" => {
            let text = value.as_str().unwrap_or_default();
            let bad = OffsetDateTime::parse(text, &Rfc3339).is_err();
            bad.then_some("an RFC 3339 time")
        }
        "usage" => (!value.is_object()).then_some("an object"),
        _ => None,
    };
    let named = members.iter().filter(|(_, value)| !value.is_null());
    named
        .filter_map(|(name, value)| Some(format!("`{name}` is not {}", wrong(name, value)?)))
        .collect()
}

async fn a_plain_deployment_has_a_plain_status(cx: &Context) -> Result<(), Stop> {
    let mut deployment = cx.deployment(&cx.name());
    deployment.env_vars.clear();
    // It need not become available: without its variables the test function may not.
    let answer = plain_status(cx, &deployment).await?;
    let status = answer.json().unwrap_or_default();
    let is_object = |member: &str| status.get(member).is_some_and(Value::is_object);
    cx.check(
        "OFP-FUN-042",
        is_object("labels") && is_object("annotations"),
        || format!("without labels and annotations the status is {status}"),
    );
    for member in ["envVars", "limits", "requests"] {
        cx.check("OFP-FUN-044", status.get(member).is_none(), || {
            format!("without `{member}` the status is {status}")
        });
    }
    Ok(())
}

async fn labels_come_back(cx: &Context) -> Result<(), Stop> {
    let many = (0..256).map(|number| (format!("label-{number}"), format!("value-{number}")));
    let many: BTreeMap<String, String> = many.collect();
    let usual = [
        ("com.example.team", "blue"),
        ("com.example.Upper_Case", "A.b_c-1"),
        ("empty", ""),
        ("a", "1"),
    ];
    let odd = [
        ("equals", "a=b=c"),
        ("scripts", "Grüße ☃ 日本"),
        ("blanks", " two  words "),
        ("slash/colon:key", "http://x/?a=b&c"),
    ];
    // Back-ends bound what a label may be; what they take they give back.
    come_back(cx, "OFP-FUN-040", "labels", texts(usual), true).await?;
    come_back(cx, "OFP-FUN-040", "labels", many, true).await?;
    come_back(cx, "OFP-FUN-040", "labels", texts(odd), false).await
}

async fn annotations_come_back(cx: &Context) -> Result<(), Stop> {
    let long = "0123456789abcdef".repeat(128);
    let some = [
        ("topic", "one,two"),
        ("com.example.schedule", "*/5 * * * *"),
        ("lines", "one\ntwo\n"),
        ("equals", "a=b=c"),
        ("empty", ""),
        ("blanks", " two  words "),
        ("scripts", "Grüße ☃ 日本"),
        ("json", "{\"a\": [\"<b>\"]}"),
        ("long", &*long),
    ];
    let many = (0..256).map(|number| (format!("note-{number}"), format!("value {number}")));
    come_back(cx, "OFP-FUN-041", "annotations", texts(some), true).await?;
    come_back(cx, "OFP-FUN-041", "annotations", many.collect(), true).await
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Deploys with labels or annotations and looks for them in the status and in the list.
async fn come_back(
    cx: &Context,
    id: &'static str,
    member: &str,
    wanted: BTreeMap<String, String>,
    must_be_taken: bool,
) -> Result<(), Stop> {
    let name = cx.name();
    let body = with(document(&cx.deployment(&name))?, member, json!(wanted));
    let request = Request::post("/system/functions").json(body.to_string());
    let answer = deploy_as(cx, &name, request).await?;
    if answer.is_refusal() && !must_be_taken {
        cx.note(format!(
            "{member} of odd characters are refused: {}",
            answer.shown()
        ));
        return Ok(());
    }
    cx.require(id, answer.is_success(), || {
        let names: Vec<&str> = wanted.keys().take(10).map(String::as_str).collect();
        format!(
            "a deployment with the {member} {} … was answered with {}",
            names.join(", "),
            answer.shown()
        )
    })?;
    let function = cx.available(&name, "").await?;
    let status = status_document(cx, &function).await?;
    let entries = list(cx).await?;
    let entry = entries
        .iter()
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(&*name));
    for (place, document) in [("the status", Some(&status)), ("the list", entry)] {
        let document = document.unwrap_or(&Value::Null);
        well_formed(cx, document);
        let lost = missing(&wanted, &member_texts(document, member));
        cx.check(id, lost.is_empty(), || {
            let some: Vec<String> = lost.iter().take(10).cloned().collect();
            format!(
                "of {} {member}, {} are other ones in {place}: {}",
                wanted.len(),
                lost.len(),
                some.join("; ")
            )
        });
    }
    Ok(())
}

async fn other_members_come_back(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-045";
    let name = cx.name();
    let base = document(&cx.deployment(&name))?;
    let mut wanted = vec![
        ("constraints", json!(["kubernetes.io/os=linux"])),
        ("readOnlyRootFilesystem", json!(true)),
    ];
    if base.get("envProcess").is_none() {
        wanted.push(("envProcess", json!("program --flag")));
    }
    if cx.declares(Profile::Secrets) {
        let secret = cx.name();
        cx.will_create(Created::secret(&secret, ""));
        cx.hide("kept-in-secret");
        let body = json!({"name": secret, "value": "kept-in-secret"});
        let request = Request::post("/system/secrets").json(body.to_string());
        if cx.send(request).await?.is_success() {
            wanted.push(("secrets", json!([secret])));
        }
    }
    // What a back-end cannot keep it may refuse; so each by itself.
    let mut judged = false;
    for (member, value) in wanted {
        let name = cx.name();
        let body = document(&cx.deployment(&name))?;
        judged |= member_comes_back(cx, id, &name, body, member, value).await?;
    }
    if let Some(value) = base.get("envProcess").cloned() {
        judged |= member_comes_back(cx, id, &name, base, "envProcess", value).await?;
    }
    if !judged {
        cx.not_applicable(id, "the provider refuses each of them");
    }
    Ok(())
}

/// Whether a deployment with this member was taken; then its status must have it.
async fn member_comes_back(
    cx: &Context,
    id: &'static str,
    name: &str,
    body: Value,
    member: &str,
    value: Value,
) -> Result<bool, Stop> {
    let body = with(body, member, value.clone());
    let Some(answer) = first_status(cx, name, &body).await? else {
        return Ok(false);
    };
    let status = answer.json().unwrap_or_default();
    cx.check(id, status.get(member) == Some(&value), || {
        format!("with `{member}` {value} the status is {}", answer.shown())
    });
    Ok(true)
}

async fn quantities_come_back(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-FUN-046";
    let mut judged = false;
    for (memory, cpu) in [
        ("256Mi", "500m"),
        ("256M", "0.5"),
        ("1G", "1"),
        ("262144Ki", ""),
    ] {
        let name = cx.name();
        let mut deployment = cx.deployment(&name);
        deployment.limits = Some(FunctionResources::new(memory, cpu));
        deployment.requests = Some(FunctionResources::new("64Mi", ""));
        let sent = document(&deployment)?;
        let Some(answer) = first_status(cx, &name, &sent).await? else {
            continue;
        };
        judged = true;
        let status = answer.json().unwrap_or_default();
        let same = |member: &str| status.get(member) == sent.get(member);
        cx.check(id, same("limits") && same("requests"), || {
            let shown = |value: &Value, member: &str| {
                let value = value.get(member);
                value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
            };
            format!(
                "limits {} and requests {} became limits {} and requests {}",
                shown(&sent, "limits"),
                shown(&sent, "requests"),
                shown(&status, "limits"),
                shown(&status, "requests")
            )
        });
    }
    if !judged {
        cx.not_applicable(id, "the provider refuses limits");
    }
    Ok(())
}

async fn queries_of_a_status_change_nothing(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let path = format!("/system/function/{}", function.name);
    let plain = lasting(&status_document(cx, &function).await?);
    for query in [
        "usage=1".to_owned(),
        "usage=true".to_owned(),
        "usage=false".to_owned(),
        "namespace=".to_owned(),
        format!("namespace={}&usage=false", function.namespace),
    ] {
        let answer = cx.get(&format!("{path}?{query}")).await?;
        let status = answer.json().unwrap_or_default();
        let same = answer.status() == 200 && lasting(&status) == plain;
        cx.check("OFP-FUN-048", same, || {
            format!(
                "with {query} the status is {}, and without it {plain}",
                answer.shown()
            )
        });
    }
    for query in ["", "?usage=false", "?usage=0", "?usage="] {
        let answer = cx.get(&format!("{path}{query}")).await?;
        let usage = answer
            .json()
            .ok()
            .and_then(|status| status.get("usage").cloned());
        let absent = usage.is_none_or(|usage| usage.is_null());
        cx.check("OFP-FUN-049", absent, || {
            format!("GET {path}{query} was answered with {}", answer.shown())
        });
    }
    Ok(())
}

/// A status without what changes by itself.
fn lasting(status: &Value) -> Value {
    let mut status = status.clone();
    if let Some(members) = status.as_object_mut() {
        members.remove("usage");
        members.remove("invocationCount");
    }
    status
}

async fn usage_is_told_when_asked_for(cx: &Context) -> Result<(), Stop> {
    let function: Function = cx.function().await?;
    for query in ["usage=1", "usage=true"] {
        let target = format!(
            "/system/function/{}?namespace={}&{query}",
            function.name, function.namespace
        );
        // A measurement may take its time.
        let used = |answer: &Answer| {
            let status = answer.json().unwrap_or_default();
            let number = |pointer: &str| status.pointer(pointer).map(Value::as_f64);
            // Zero may be left out, as it is in Go.
            let cpu = number("/usage/cpu").is_none_or(|cpu| cpu.is_some_and(|cpu| cpu >= 0.0));
            let memory = number("/usage/totalMemoryBytes").flatten();
            cpu && memory.is_some_and(|memory| memory > 0.0)
        };
        let limit = cx.timeouts().settle;
        let polled = cx.poll("usage to be measured", limit, Request::get(target), used);
        let polled = polled.await?;
        cx.check("OFP-FUN-050", polled.is_ok(), || {
            let last = polled.as_ref().err().map(Answer::shown);
            format!("with {query} the status is {}", last.unwrap_or_default())
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::faults;

    #[test]
    fn a_status_that_go_could_not_read_is_found_out() {
        let good = json!({
            "name": "a", "image": "b", "namespace": "c", "labels": null, "annotations": {"a": "b"},
            "replicas": 1, "invocationCount": 1.5, "createdAt": "2026-01-02T03:04:05.678Z",
            "limits": {"memory": "1Mi"}, "more": [1],
        });
        assert_eq!(faults(&good), Vec::<String>::new());
        for (member, value) in [
            ("name", json!(1)),
            ("labels", json!({"a": 1})),
            ("constraints", json!("a")),
            ("replicas", json!(-1)),
            ("availableReplicas", json!(1.5)),
            ("replicas", json!("1")),
            ("createdAt", json!("yesterday")),
            ("createdAt", json!(17)),
            ("readOnlyRootFilesystem", json!(0)),
            ("usage", json!([])),
        ] {
            let mut bad = good.clone();
            bad[member] = value.clone();
            assert_eq!(faults(&bad).len(), 1, "{member} {value}");
        }
    }
}
