//! Requests that are wrong, and what is said of them.

use serde_json::{Value, json};

use super::super::steps::{document, list, status_document, times_listed, with};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop};
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "general";
    what_is_no_json_is_refused: ["OFP-GEN-005", "OFP-GEN-006"],
    nothing_and_too_much_are_refused: ["OFP-GEN-007"],
    a_refusal_is_a_line_of_text: ["OFP-GEN-009", "OFP-GEN-010"],
};

async fn what_is_no_json_is_refused(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let before = kept(&status_document(cx, &function).await?);
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));

    let fresh = document(&cx.deployment(&name))?;
    let mut wrong = vec![
        ("POST", "{".to_owned()),
        ("POST", "[]".to_owned()),
        ("POST", "service=text".to_owned()),
        ("POST", "\"text\"".to_owned()),
        ("POST", with(fresh.clone(), "service", json!(7)).to_string()),
    ];
    let deployed = document(&cx.deployment(&function.name))?;
    for (member, value) in [
        ("labels", json!(["a"])),
        ("labels", json!({"a": 1})),
        ("annotations", json!("a")),
        ("envVars", json!({"a": {}})),
        ("secrets", json!("a")),
        ("limits", json!("128Mi")),
        ("readOnlyRootFilesystem", json!("yes")),
    ] {
        for (method, body) in [("POST", &fresh), ("PUT", &deployed)] {
            wrong.push((
                method,
                with(body.clone(), member, value.clone()).to_string(),
            ));
        }
    }
    wrong.push(("PUT", "{".to_owned()));
    wrong.push(("DELETE", "{".to_owned()));
    wrong.push((
        "DELETE",
        json!({"functionName": [function.name]}).to_string(),
    ));
    for (method, body) in wrong {
        let request = Request::new(method, "/system/functions").json(body.clone());
        judge(cx, method, &body, &cx.send(request).await?);
    }
    let scale = format!("/system/scale-function/{}", function.name);
    let answer = cx.send(Request::post(&*scale).json("{")).await?;
    judge(cx, "POST to scale", "{", &answer);

    let listed = times_listed(&list(cx).await?, &name);
    cx.check("OFP-GEN-005", listed == 0, || {
        format!("a deployment that was refused has made {name}")
    });
    let after = kept(&status_document(cx, &function).await?);
    cx.check("OFP-GEN-005", before == after, || {
        format!("updates and deletions that were refused turned {before} into {after}")
    });
    Ok(())
}

fn judge(cx: &Context, method: &str, body: &str, answer: &Answer) {
    let short: String = body.chars().take(200).collect();
    let saw = || format!("{method} with {short} was answered with {}", answer.shown());
    cx.check("OFP-GEN-005", answer.is_refusal(), saw);
    cx.check(
        "OFP-GEN-006",
        answer.status() == 400 || !answer.is_refusal(),
        saw,
    );
}

/// What of a status stays while nobody changes the function.
fn kept(status: &Value) -> Value {
    let members = [
        "name",
        "image",
        "labels",
        "annotations",
        "envVars",
        "createdAt",
        "replicas",
    ];
    let each = members.map(|member| (member.to_owned(), status.get(member).cloned().into()));
    Value::Object(each.into_iter().collect())
}

async fn nothing_and_too_much_are_refused(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-GEN-007";
    let function = cx.function().await?;
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let fresh = document(&cx.deployment(&name))?;
    let known = document(&cx.deployment(&function.name))?;
    let scale = format!("/system/scale-function/{}", function.name);
    for (method, path, body) in [
        ("POST", "/system/functions", String::new()),
        ("POST", "/system/functions", format!("{fresh}{{}}")),
        ("PUT", "/system/functions", String::new()),
        ("PUT", "/system/functions", format!("{known} text")),
        ("POST", &*scale, String::new()),
        ("DELETE", "/system/functions", String::new()),
        (
            "DELETE",
            "/system/functions",
            format!("{} []", json!({"functionName": function.name})),
        ),
    ] {
        let what = match body.is_empty() {
            true => "an empty body",
            false => "data after the JSON",
        };
        let answer = cx.send(Request::new(method, path).json(body)).await?;
        cx.check(id, answer.status() == 400, || {
            format!(
                "{method} {path} with {what} was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn a_refusal_is_a_line_of_text(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let absent = document(&cx.deployment(&name))?;
    let delete = json!({"functionName": name}).to_string();
    let scale = json!({"serviceName": name, "replicas": 1}).to_string();
    let functions = "/system/functions";
    let mut refused = false;
    for request in [
        Request::post(functions).json("{"),
        Request::post(functions).json(with(absent.clone(), "labels", json!([1])).to_string()),
        Request::post(functions).json(with(absent.clone(), "service", json!("")).to_string()),
        Request::put(functions).json(absent.to_string()),
        Request::delete(functions).json(delete),
        Request::delete(functions).json("[]"),
        Request::post(format!("/system/scale-function/{name}")).json(scale),
    ] {
        let call = request.line();
        let answer = cx.send(request).await?;
        if !answer.is_refusal() {
            // Whether it should have been one is judged elsewhere.
            continue;
        }
        refused = true;
        let text = answer.text();
        let kind = answer.header("content-type").unwrap_or_default();
        let sniff = answer.header("x-content-type-options").unwrap_or_default();
        let line = text
            .strip_suffix('\n')
            .is_some_and(|line| !line.contains('\n'));
        let plain = kind.to_ascii_lowercase().starts_with("text/plain");
        let shaped = line && plain && sniff.eq_ignore_ascii_case("nosniff");
        cx.check("OFP-GEN-009", shaped, || {
            format!(
                "{call} was answered with {}, Content-Type {kind:?}, X-Content-Type-Options {sniff:?}",
                answer.shown()
            )
        });
        let length = text.trim().chars().count();
        cx.check("OFP-GEN-010", (1..=500).contains(&length), || {
            format!(
                "{call} was answered with {length} characters: {}",
                answer.shown()
            )
        });
    }
    if !refused {
        cx.not_applicable("OFP-GEN-009", "nothing was refused");
        cx.not_applicable("OFP-GEN-010", "nothing was refused");
    }
    Ok(())
}
