//! Where a request names a namespace, and what it reaches then.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::steps::{asked, environment, replicas};
use super::{another, function_in, names, placed, put};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Function, Stop, status};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "namespaces";
    a_function_is_where_it_was_put: ["OFP-NAM-024", "OFP-NAM-025", "OFP-NAM-030"],
    one_name_is_two_functions: ["OFP-NAM-023"],
    a_deletion_says_where: ["OFP-NAM-026", "OFP-NAM-027"],
    scaling_says_where: ["OFP-NAM-028", "OFP-NAM-029"],
    a_secret_is_where_it_was_put: ["OFP-NAM-031", "OFP-NAM-032"],
    logs_say_where: ["OFP-NAM-033"],
    two_places_are_none: ["OFP-NAM-034"],
};

async fn a_function_is_where_it_was_put(cx: &Context) -> Result<(), Stop> {
    let namespace = another(cx).await?;
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let answer = put(cx, &name, &namespace, "there").await?;
    let unnamed = cx.get(&format!("/system/function/{name}")).await?;
    let elsewhere = status(&unnamed).is_some();
    cx.require("OFP-NAM-024", answer.is_success() && !elsewhere, || {
        format!(
            "a deployment into {namespace} was answered with {}; without a namespace its status \
             is answered with {}",
            answer.shown(),
            unnamed.shown()
        )
    })?;
    let there = cx.available(&name, &namespace).await;
    let targets = [
        format!("/system/functions?namespace={namespace}"),
        "/system/functions".to_owned(),
    ];
    let mut lists = Vec::new();
    for target in &targets {
        let answer = cx.get(target).await?;
        lists.push(names(&answer).is_some_and(|all| all.contains(&name)));
    }
    let right = there.is_ok() && lists == [true, false];
    cx.check("OFP-NAM-025", right, || {
        let why = there.as_ref().err().map(ToString::to_string);
        format!(
            "{name} is in {namespace}: its list has it: {:?}, that of the default one: {:?}; {}",
            lists.first(),
            lists.last(),
            why.unwrap_or_default()
        )
    });
    let function = Function { name, namespace };
    let called = asked(cx, &function, "identity").await;
    cx.check("OFP-NAM-030", called.is_ok(), || {
        let why = called.as_ref().err().map(ToString::to_string);
        format!("{}: {}", function.path("/"), why.unwrap_or_default())
    });
    let answer = change(cx, &function, "changed").await?;
    let changed = answer.is_success() && is(cx, &function, "changed").await?;
    cx.check("OFP-NAM-024", changed, || {
        format!(
            "an update in {} was answered with {}; it has changed: {changed}",
            function.namespace,
            answer.shown()
        )
    });
    Ok(())
}

/// Waits until a function says by its status or by itself that it is this one.
async fn is(cx: &Context, function: &Function, place: &str) -> Result<bool, Stop> {
    let shown = status(&cx.get(&function.status_path()).await?);
    if shown.is_some_and(|it| it.env_vars.get("WHERE").is_some_and(|it| it == place)) {
        return Ok(true);
    }
    let says = |answer: &Answer| {
        let told = answer.json().unwrap_or_default();
        told.pointer("/variables/WHERE").and_then(Value::as_str) == Some(place)
    };
    let limit = cx.timeouts().ready;
    let request = Request::get(function.path("/do/environment"));
    let polled = cx.poll("the function to be this one", limit, request, says);
    Ok(polled.await?.is_ok())
}

/// Whether a function is still this one, by its status, where that tells variables, and by itself.
async fn stays(cx: &Context, function: &Function, place: &str) -> Result<bool, Stop> {
    let shown = status(&cx.get(&function.status_path()).await?);
    let shown = shown.and_then(|it| it.env_vars.get("WHERE").cloned());
    let own = environment(cx, function).await?.remove("WHERE");
    Ok(shown.is_none_or(|it| it == place) && own.as_deref() == Some(place))
}

/// Updates a function in a namespace, whatever the answer.
async fn change(cx: &Context, function: &Function, place: &str) -> Result<Answer, Stop> {
    let deployment = placed(cx, &function.name, &function.namespace, place);
    cx.update(&deployment).await
}

/// A number of replicas that a function can have besides 1, as far as that is declared.
fn another_number(cx: &Context) -> Option<u64> {
    if cx.declares(Profile::Scale) {
        Some(2)
    } else if cx.declares(Profile::ScaleZero) {
        Some(0)
    } else {
        None
    }
}

/// Waits until so many replicas of a function are wanted.
async fn has_replicas(cx: &Context, function: &Function, wanted: u64) -> Result<bool, Stop> {
    let request = Request::get(function.status_path());
    let right = |answer: &Answer| replicas(answer).is_some_and(|(all, _)| all == wanted);
    let limit = cx.timeouts().settle;
    let polled = cx.poll("the replicas to be as many", limit, request, right);
    Ok(polled.await?.is_ok())
}

async fn one_name_is_two_functions(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-NAM-023";
    let namespace = another(cx).await?;
    let name = cx.name();
    let mut both = Vec::new();
    for (namespace, place) in [("", "here"), (namespace.as_str(), "there")] {
        let answer = put(cx, &name, namespace, place).await?;
        if !answer.is_success() {
            let text = format!(
                "{name} was not deployed into {namespace:?}: {}",
                answer.shown()
            );
            return Err(Stop::Setup(text));
        }
        both.push(cx.available(&name, namespace).await?);
    }
    let [here, there] = both.as_slice() else {
        return Err(Stop::Kit("there are not two functions".to_owned()));
    };
    let apart = is(cx, here, "here").await? && is(cx, there, "there").await?;
    cx.require(id, apart, || {
        format!("{name}, deployed into two namespaces, is one function")
    })?;

    let apart = |what: &str, answer: &Answer, done: bool, stayed: bool| {
        cx.check(id, done && stayed, || {
            format!(
                "{name} was to be {what} in {namespace}: {}; done there: {done}, left alone \
                 elsewhere: {stayed}",
                answer.shown()
            )
        });
    };
    let answer = change(cx, there, "changed").await?;
    let changed = answer.is_success() && is(cx, there, "changed").await?;
    apart("updated", &answer, changed, stays(cx, here, "here").await?);

    if let Some(number) = another_number(cx) {
        let body = json!({"serviceName": name, "replicas": number, "namespace": namespace});
        let target = format!("/system/scale-function/{name}?namespace={namespace}");
        let answer = cx
            .send(Request::post(target).json(body.to_string()))
            .await?;
        let scaled = answer.is_success() && has_replicas(cx, there, number).await?;
        let other = replicas(&cx.get(&here.status_path()).await?);
        let stayed = other.is_some_and(|(wanted, _)| wanted == 1);
        apart("scaled", &answer, scaled, stayed);
    }

    let body = json!({"functionName": name, "namespace": namespace}).to_string();
    let target = format!("/system/functions?namespace={namespace}");
    let answer = cx.send(Request::delete(target).json(body)).await?;
    let stayed = status(&cx.get(&here.status_path()).await?).is_some();
    apart("deleted", &answer, answer.is_success(), stayed);
    Ok(())
}

async fn a_deletion_says_where(cx: &Context) -> Result<(), Stop> {
    let namespace = another(cx).await?;
    for (id, in_body) in [("OFP-NAM-026", true), ("OFP-NAM-027", false)] {
        let function = function_in(cx, &namespace).await?;
        let name = &function.name;
        let request = if in_body {
            let body = json!({"functionName": name, "namespace": namespace});
            Request::delete("/system/functions").json(body.to_string())
        } else {
            let target = format!("/system/functions?namespace={namespace}");
            Request::delete(target).json(json!({"functionName": name}).to_string())
        };
        let answer = cx.send(request).await?;
        let request = Request::get(function.status_path());
        let gone = |answer: &Answer| answer.status() == 404;
        let gone = if answer.is_success() {
            let limit = cx.timeouts().settle;
            cx.poll("the deleted function to go", limit, request, gone)
                .await?
                .is_ok()
        } else {
            false
        };
        cx.check(id, gone, || {
            format!(
                "the deletion was answered with {}, gone: {gone}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn scaling_says_where(cx: &Context) -> Result<(), Stop> {
    let namespace = another(cx).await?;
    let function = function_in(cx, &namespace).await?;
    let name = &function.name;
    let target = format!("/system/scale-function/{name}");
    let queried = format!("{target}?namespace={namespace}");
    // Where a function has one replica for ever, the answer is all that there is to see.
    let number = another_number(cx).unwrap_or(1);
    let body = json!({"serviceName": name, "replicas": number, "namespace": namespace});
    let bare = json!({"serviceName": name, "replicas": 1});
    for (id, target, body, number) in [
        ("OFP-NAM-028", target, body, number),
        ("OFP-NAM-029", queried, bare, 1),
    ] {
        let request = Request::post(&target).json(body.to_string());
        let answer = cx.send(request).await?;
        let done = answer.is_success() && has_replicas(cx, &function, number).await?;
        cx.check(id, done, || {
            format!(
                "POST {target} with {body} was answered with {}; so many are wanted: {done}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn a_secret_is_where_it_was_put(cx: &Context) -> Result<(), Stop> {
    let (lists, changes) = ("OFP-NAM-031", "OFP-NAM-032");
    if !cx.declares(Profile::Secrets) {
        for id in [lists, changes] {
            cx.not_applicable(id, "the provider does not declare `secrets`");
        }
        return Ok(());
    }
    let namespace = another(cx).await?;
    let name = cx.name();
    for namespace in ["", namespace.as_str()] {
        cx.will_create(Created::secret(&name, namespace));
    }
    let path = "/system/secrets";
    let queried = format!("{path}?namespace={namespace}");
    let tell = async |method: &str, value: &str| {
        cx.hide(value);
        let body = json!({"name": name, "namespace": namespace, "value": value});
        cx.send(Request::new(method, path).json(body.to_string()))
            .await
    };
    let there = async |target: &str| {
        let answer = cx.get(target).await?;
        Ok::<_, Stop>(names(&answer).is_some_and(|all| all.contains(&name)))
    };
    let answer = tell("POST", "of-the-namespace").await?;
    let (listed, elsewhere) = (there(&queried).await?, there(path).await?);
    let misplaced = !listed && elsewhere;
    cx.require(changes, answer.is_success() && !misplaced, || {
        format!(
            "a creation in {namespace} was answered with {}; it is there: {listed}, in the default \
             one: {elsewhere}",
            answer.shown()
        )
    })?;
    cx.check(lists, listed && !elsewhere, || {
        format!(
            "{name} is in {namespace}: its list has it: {listed}, that of the default one: \
             {elsewhere}"
        )
    });
    let answer = tell("PUT", "of-it-later").await?;
    let mut deployment = placed(cx, &cx.name(), &namespace, &namespace);
    deployment.secrets = vec![name.clone()];
    let reader = cx.deployed(&deployment).await?;
    let files = asked(cx, &reader, "secrets").await?;
    let changed = files.to_string().contains(&STANDARD.encode("of-it-later"));
    cx.check(changes, answer.is_success() && changed, || {
        format!(
            "an update in {namespace} was answered with {}; a function there reads the new value: \
             {changed}",
            answer.shown()
        )
    });
    cx.delete(&reader).await?;
    let answer = tell("DELETE", "of-it-later").await?;
    let still = there(&queried).await?;
    cx.check(changes, answer.is_success() && !still, || {
        format!(
            "a deletion in {namespace} was answered with {}; it is still there: {still}",
            answer.shown()
        )
    });
    Ok(())
}

async fn logs_say_where(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-NAM-033";
    if !cx.declares(Profile::Logs) {
        cx.not_applicable(id, "the provider does not declare `logs`");
        return Ok(());
    }
    let namespace = another(cx).await?;
    let function = function_in(cx, &namespace).await?;
    let order = "/do/log?stdout=written%20in%20a%20namespace";
    let answer = cx.get(&function.path(order)).await?;
    if !answer.is_success() {
        let text = format!("the function was to write a line: {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    let name = &function.name;
    let target = format!("/system/logs?name={name}&namespace={namespace}&follow=false");
    let there = |answer: &Answer| answer.text().contains("written in a namespace");
    let limit = cx.timeouts().settle;
    let polled = cx.poll(
        "a line to be in the log",
        limit,
        Request::get(target),
        there,
    );
    let read = polled.await?;
    cx.check(id, read.is_ok(), || {
        let last = read.as_ref().err().map(Answer::shown);
        format!(
            "a line of {name} in {namespace} is not in {}",
            last.unwrap_or_default()
        )
    });
    Ok(())
}

async fn two_places_are_none(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-NAM-034";
    let function = cx.function().await?;
    let namespace = another(cx).await?;
    let name = &function.name;
    let query = format!("namespace={}", function.namespace);
    for request in [
        Request::delete(format!("/system/functions?{query}"))
            .json(json!({"functionName": name, "namespace": namespace}).to_string()),
        Request::post(format!("/system/scale-function/{name}?{query}"))
            .json(json!({"serviceName": name, "replicas": 1, "namespace": namespace}).to_string()),
    ] {
        let call = request.line();
        let answer = cx.send(request).await?;
        cx.check(id, answer.status() == 400, || {
            format!(
                "{call} with {namespace} in its body was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}
