//! Where a request names a namespace, and what it reaches then.

use serde_json::json;

use super::super::steps::asked;
use super::{another, function_in, names, put, told};
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
    Ok(())
}

/// Waits until a function says by its status or by itself that it is this one.
async fn is(cx: &Context, function: &Function, place: &str) -> Result<bool, Stop> {
    let request = Request::get(function.status_path());
    let shows = |answer: &Answer| {
        status(answer).is_some_and(|it| it.env_vars.get("WHERE").is_some_and(|it| it == place))
    };
    if told(cx, function)
        .await?
        .iter()
        .flatten()
        .any(|it| it == place)
    {
        return Ok(true);
    }
    let limit = cx.timeouts().prompt;
    let polled = cx.poll("a function to be another", limit, request, shows);
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

    let mut deployment = cx.deployment(&name);
    deployment.namespace.clone_from(&namespace);
    let variable = ("WHERE".to_owned(), "changed".to_owned());
    deployment.env_vars.extend([variable]);
    let answer = cx.update(&deployment).await?;
    if answer.is_success() {
        let changed = is(cx, there, "changed").await?;
        let other = is(cx, here, "here").await?;
        cx.check(id, changed && other, || {
            format!(
                "{name} was updated in {namespace}: there it changed: {changed}, elsewhere it \
                 stayed: {other}"
            )
        });
    }

    let body = json!({"functionName": name, "namespace": namespace}).to_string();
    let target = format!("/system/functions?namespace={namespace}");
    let answer = cx.send(Request::delete(target).json(body)).await?;
    if answer.is_success() {
        let stays = is(cx, here, "here").await?;
        cx.check(id, stays, || {
            format!("{name} was deleted in {namespace}, and elsewhere with it")
        });
    }
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
    let body = json!({"serviceName": name, "replicas": 1, "namespace": namespace});
    let bare = json!({"serviceName": name, "replicas": 1});
    for (id, target, body) in [
        ("OFP-NAM-028", target, body),
        ("OFP-NAM-029", queried, bare),
    ] {
        let request = Request::post(&target).json(body.to_string());
        let answer = cx.send(request).await?;
        cx.check(id, answer.is_success(), || {
            format!(
                "POST {target} with {body} was answered with {}",
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
    for (method, what) in [("PUT", "an update"), ("DELETE", "a deletion")] {
        let answer = tell(method, "of-it-later").await?;
        cx.check(changes, answer.is_success(), || {
            format!("{what} in {namespace} was answered with {}", answer.shown())
        });
        if method == "DELETE" && answer.is_success() {
            let still = there(&queried).await?;
            cx.check(changes, !still, || {
                format!("{name} was deleted in {namespace} and is still listed there")
            });
        }
    }
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
