//! Namespaces from their creation to their deletion.

use serde_json::{Value, json};

use super::{PLACE, another, create, document, function_in};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop};
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "namespaces";
    a_namespace_lives_and_goes: [
        "OFP-NAM-009", "OFP-NAM-010", "OFP-NAM-011", "OFP-NAM-012", "OFP-NAM-014", "OFP-NAM-015",
        "OFP-NAM-016", "OFP-NAM-018",
    ],
    what_does_not_exist_is_not_found: ["OFP-NAM-013"],
    one_mark_is_enough: ["OFP-NAM-017"],
    a_namespace_has_a_name: ["OFP-NAM-019", "OFP-NAM-020"],
    what_is_in_use_stays: ["OFP-NAM-021", "OFP-NAM-022"],
};

fn path(name: &str) -> String {
    format!("{PLACE}{name}")
}

/// Waits until a namespace is in the list, or is not; false where that does not come about.
async fn listed(cx: &Context, name: &str, wanted: bool) -> Result<bool, Stop> {
    let request = Request::get("/system/namespaces");
    let is_there = |answer: &Answer| match answer.json() {
        Ok(Value::Array(names)) => Some(names.iter().any(|it| it.as_str() == Some(name))),
        _ => None,
    };
    let done = |answer: &Answer| is_there(answer) == Some(wanted);
    let limit = cx.timeouts().settle;
    Ok(cx
        .poll("the list of namespaces", limit, request, done)
        .await?
        .is_ok())
}

/// Whether a namespace has a label and an annotation.
fn has(answer: &Answer, member: &str, name: &str, value: Option<&str>) -> bool {
    let found = answer.json().unwrap_or_default();
    found.get(member).and_then(|all| all.get(name)?.as_str()) == value
}

async fn a_namespace_lives_and_goes(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let mut first = document(&name);
    for (member, at) in [("labels", "/labels"), ("annotations", "/annotations")] {
        if let Some(object) = first.pointer_mut(at).and_then(Value::as_object_mut) {
            object.insert("first".to_owned(), json!(member));
        }
    }
    let answer = create(cx, &name, &first).await?;
    cx.check("OFP-NAM-009", matches!(answer.status(), 200..=202), || {
        format!("the creation was answered with {}", answer.shown())
    });
    cx.check("OFP-NAM-010", answer.status() == 201, || answer.shown());
    if !answer.is_success() {
        return Err(Stop::Setup(format!("no namespace: {}", answer.shown())));
    }
    let there = listed(cx, &name, true).await?;
    cx.check("OFP-NAM-011", there, || {
        format!("{name} was created and is not in the list")
    });

    let answer = cx.get(&path(&name)).await?;
    let body = answer.json().unwrap_or_default();
    let right = answer.status() == 200
        && body.get("name").and_then(Value::as_str) == Some(&name)
        && has(&answer, "labels", "first", Some("labels"))
        && has(&answer, "annotations", "first", Some("annotations"));
    cx.check("OFP-NAM-012", right, || {
        format!("created as {first}, it is answered with {}", answer.shown())
    });

    let again = create(cx, &name, &document(&name)).await?;
    cx.check("OFP-NAM-018", again.status() == 409, || {
        format!("a second creation was answered with {}", again.shown())
    });

    let mut second = document(&name);
    for at in ["/labels", "/annotations"] {
        if let Some(object) = second.pointer_mut(at).and_then(Value::as_object_mut) {
            object.insert("second".to_owned(), json!("yes"));
        }
    }
    let update = Request::put(path(&name)).json(second.to_string());
    let answer = cx.send(update).await?;
    cx.check("OFP-NAM-014", matches!(answer.status(), 200..=202), || {
        format!("the update was answered with {}", answer.shown())
    });
    if right && answer.is_success() {
        let answer = cx.get(&path(&name)).await?;
        let replaced = ["labels", "annotations"].into_iter().all(|member| {
            has(&answer, member, "second", Some("yes")) && has(&answer, member, "first", None)
        });
        cx.check("OFP-NAM-014", replaced, || {
            format!(
                "updated to {second}, it is answered with {}",
                answer.shown()
            )
        });
    }

    let answer = cx.send(Request::delete(path(&name))).await?;
    cx.check("OFP-NAM-016", answer.is_success(), || {
        format!(
            "a deletion without a body was answered with {}",
            answer.shown()
        )
    });
    let answer = if answer.is_success() {
        answer
    } else {
        let request = Request::delete(path(&name)).json(document(&name).to_string());
        cx.send(request).await?
    };
    cx.check("OFP-NAM-015", matches!(answer.status(), 200..=202), || {
        format!("the deletion was answered with {}", answer.shown())
    });
    if answer.is_success() {
        let gone = listed(cx, &name, false).await?;
        cx.check("OFP-NAM-011", gone, || {
            format!("{name} was deleted and is still in the list")
        });
    }
    Ok(())
}

async fn what_does_not_exist_is_not_found(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    cx.will_create(Created::Namespace { name: name.clone() });
    for request in [
        Request::get(path(&name)),
        Request::put(path(&name)).json(document(&name).to_string()),
        Request::delete(path(&name)).json(document(&name).to_string()),
    ] {
        let call = request.line();
        let answer = cx.send(request).await?;
        cx.check("OFP-NAM-013", answer.status() == 404, || {
            format!("{call} was answered with {}", answer.shown())
        });
    }
    Ok(())
}

async fn one_mark_is_enough(cx: &Context) -> Result<(), Stop> {
    for member in ["labels", "annotations"] {
        let name = cx.name();
        let marked = json!({"name": name, member: {"openfaas": "1"}});
        let answer = create(cx, &name, &marked).await?;
        cx.check("OFP-NAM-017", answer.is_success(), || {
            format!("{marked} was answered with {}", answer.shown())
        });
    }
    Ok(())
}

async fn a_namespace_has_a_name(cx: &Context) -> Result<(), Stop> {
    let refused = async |id: &'static str, request: Request, what: &str| {
        let call = request.line();
        let answer = cx.send(request).await?;
        cx.check(id, answer.status() == 400, || {
            format!("{call} with {what} was answered with {}", answer.shown())
        });
        Ok::<_, Stop>(())
    };
    let mut nameless = document("");
    if let Some(object) = nameless.as_object_mut() {
        object.remove("name");
    }
    let id = "OFP-NAM-019";
    let post = |body: &Value| Request::post(PLACE).json(body.to_string());
    refused(id, post(&nameless), "no name").await?;
    refused(id, post(&document("")), "an empty name").await?;
    let (one, two) = (another(cx).await?, cx.name());
    let request = Request::put(path(&one)).json(document(&two).to_string());
    refused(id, request, "another name").await?;

    let own = cx.name();
    let long = format!("{own}-{}", "n".repeat(63 - own.len()));
    for bad in [
        format!("{own}.dotted"),
        format!("{own}/a"),
        "..".to_owned(),
        format!("{own}-UPPER"),
        long,
    ] {
        // No path leads to `..`, should it be taken for a name.
        if bad != ".." {
            cx.will_create(Created::namespace(&bad));
        }
        let what = format!("the name {bad:?}");
        refused("OFP-NAM-020", post(&document(&bad)), &what).await?;
    }
    Ok(())
}

async fn what_is_in_use_stays(cx: &Context) -> Result<(), Stop> {
    let namespace = another(cx).await?;
    let function = function_in(cx, &namespace).await?;
    let request = Request::delete(path(&namespace)).json(document(&namespace).to_string());
    let answer = cx.send(request).await?;
    cx.check("OFP-NAM-021", !answer.is_success(), || {
        format!(
            "{namespace} holds {}, and its deletion was answered with {}",
            function.name,
            answer.shown()
        )
    });
    // Its deletion is not tried: where it is not refused, everything would go with it.
    let default = cx.function().await?.namespace;
    let answer = cx
        .send(Request::post(PLACE).json(document(&default).to_string()))
        .await?;
    cx.check("OFP-NAM-022", !answer.is_success(), || {
        format!(
            "the creation of {default} was answered with {}",
            answer.shown()
        )
    });
    Ok(())
}
