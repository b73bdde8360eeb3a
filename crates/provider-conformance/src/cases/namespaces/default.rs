//! The default namespace, which every provider has.

use serde_json::{Value, json};

use super::super::steps::replica;
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Function, Stop, status};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

pub(in crate::cases) const CASES: &[Case] = cases! { "namespaces";
    namespaces_are_listed: ["OFP-NAM-001", "OFP-NAM-002", "OFP-NAM-003"],
    a_function_is_called_with_and_without_its_namespace: ["OFP-NAM-004", "OFP-NAM-005"],
    the_default_namespace_is_named_or_not: ["OFP-NAM-006", "OFP-NAM-007"],
    what_is_in_no_namespace_is_not_there: ["OFP-NAM-008", "OFP-NAM-035"],
    a_name_has_a_dot: ["OFP-NAM-036"],
};

async fn namespaces_are_listed(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let answer = cx.get("/system/namespaces").await?;
    if matches!(answer.status(), 404 | 501) {
        cx.check("OFP-NAM-001", true, String::new);
        for id in ["OFP-NAM-002", "OFP-NAM-003"] {
            cx.not_applicable(id, "the provider has no list of namespaces");
        }
        return Ok(());
    }
    let names = match answer.json() {
        Ok(Value::Array(entries)) => {
            let name = |entry: &Value| entry.as_str().map(str::to_owned);
            entries.iter().map(name).collect::<Option<Vec<String>>>()
        }
        _ => None,
    };
    let readable = answer.status() == 200 && names.is_some();
    cx.require("OFP-NAM-001", readable, || {
        format!(
            "GET /system/namespaces was answered with {}",
            answer.shown()
        )
    })?;
    let mut names = names.unwrap_or_default();
    cx.check("OFP-NAM-003", names.contains(&function.namespace), || {
        format!(
            "a function is in {}, the list is {}",
            function.namespace,
            answer.shown()
        )
    });
    let count = names.len();
    names.sort();
    names.dedup();
    cx.check("OFP-NAM-002", names.len() == count, || answer.shown());
    Ok(())
}

async fn a_function_is_called_with_and_without_its_namespace(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for path in [
        format!("/function/{}", function.name),
        format!("/function/{}.{}", function.name, function.namespace),
    ] {
        let answer = cx.get(&path).await?;
        cx.check("OFP-NAM-004", answer.is_success(), || {
            format!("{path} was answered with {}", answer.shown())
        });
    }
    let usual = function.namespace == provider_types::DEFAULT_NAMESPACE;
    cx.check("OFP-NAM-005", usual, || {
        format!(
            "a function that was deployed without one is in {}",
            function.namespace
        )
    });
    Ok(())
}

async fn the_default_namespace_is_named_or_not(cx: &Context) -> Result<(), Stop> {
    let answer = cx.get("/system/functions?namespace=").await?;
    cx.check("OFP-NAM-006", answer.is_success(), || {
        format!(
            "the list with `namespace=` was answered with {}",
            answer.shown()
        )
    });
    let function = cx.function().await?;
    for (id, namespace) in [
        ("OFP-NAM-006", ""),
        ("OFP-NAM-007", function.namespace.as_str()),
    ] {
        stands_everywhere(cx, id, &function, namespace).await?;
    }
    Ok(())
}

/// Whether the default namespace is taken under this name wherever one can stand.
async fn stands_everywhere(
    cx: &Context,
    id: &'static str,
    function: &Function,
    namespace: &str,
) -> Result<(), Stop> {
    let name = &function.name;
    let query = format!("namespace={namespace}");
    let body = |mut body: Value| {
        if let Some(object) = body.as_object_mut() {
            object.insert("namespace".to_owned(), json!(namespace));
        }
        body.to_string()
    };
    let (own, other, secret) = (cx.name(), cx.name(), cx.name());
    cx.will_create(Created::function(&own, ""));
    let answer = cx.deploy(&cx.deployment(&other)).await?;
    if !answer.is_success() {
        let text = format!("the deployment was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    let deployment = |name: &str| {
        let document = provider_types::wire::to_vec(&cx.deployment(name));
        serde_json::from_slice(&document).unwrap_or_default()
    };
    let mut requests = vec![
        Request::get(format!("/system/functions?{query}")),
        Request::get(format!("/system/function/{name}?{query}")),
        Request::post("/system/functions").json(body(deployment(&own))),
        Request::put("/system/functions").json(body(deployment(name))),
        Request::post(format!("/system/scale-function/{name}"))
            .json(body(json!({"serviceName": name, "replicas": 1}))),
        Request::post(format!("/system/scale-function/{name}?{query}"))
            .json(json!({"serviceName": name, "replicas": 1}).to_string()),
        Request::delete("/system/functions").json(body(json!({"functionName": own}))),
        Request::delete(format!("/system/functions?{query}"))
            .json(json!({"functionName": other}).to_string()),
    ];
    if cx.declares(Profile::Logs) {
        let target = format!("/system/logs?name={name}&follow=false&{query}");
        requests.push(Request::get(target));
    }
    if cx.declares(Profile::Secrets) {
        cx.will_create(Created::secret(&secret, ""));
        let told = body(json!({"name": secret, "value": "of the default namespace"}));
        requests.extend(["POST", "PUT", "GET", "DELETE"].map(|method| match method {
            "GET" => Request::get(format!("/system/secrets?{query}")),
            _ => Request::new(method, "/system/secrets").json(told.clone()),
        }));
    }
    for request in requests {
        let call = request.line();
        // A list has what is there.
        let listed = match call.split(['?', ' ']).nth(1) {
            Some("/system/functions") if call.starts_with("GET") => name,
            Some("/system/secrets") if call.starts_with("GET") => &secret,
            _ => "",
        };
        let answer = cx.send(request).await?;
        let right = answer.is_success() && answer.text().contains(listed);
        cx.check(id, right, || {
            format!(
                "{call} with `namespace` {namespace:?} was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn what_is_in_no_namespace_is_not_there(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let nowhere = cx.name();
    let answer = cx
        .get(&format!("/system/functions?namespace={nowhere}"))
        .await?;
    cx.check("OFP-NAM-008", matches!(answer.status(), 400 | 404), || {
        format!("the list of {nowhere} was answered with {}", answer.shown())
    });
    let path = format!("/function/{}.{nowhere}", function.name);
    let answer = cx.get(&path).await?;
    cx.check("OFP-NAM-035", answer.status() == 404, || {
        format!("{path} was answered with {}", answer.shown())
    });
    Ok(())
}

async fn a_name_has_a_dot(cx: &Context) -> Result<(), Stop> {
    let name = format!("{}.dotted", cx.name());
    let answer = cx.deploy(&cx.deployment(&name)).await?;
    if !answer.is_success() {
        let text = format!("{name} was not deployed: {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    let request = Request::get(format!("/system/function/{name}"));
    let ready = |answer: &Answer| status(answer).is_some_and(|it| it.available_replicas > 0);
    let polled = cx.poll(
        "the function to become available",
        cx.timeouts().ready,
        request,
        ready,
    );
    let namespace = match polled.await? {
        Ok(answer) => status(&answer).map(|it| it.namespace),
        Err(last) => {
            return Err(Stop::Setup(format!(
                "it is not available: {}",
                last.shown()
            )));
        }
    };
    let namespace = namespace.filter(|it| !it.is_empty());
    let function = Function {
        name,
        namespace: namespace.unwrap_or_else(|| provider_types::DEFAULT_NAMESPACE.to_owned()),
    };
    let answered = replica(cx, &function).await;
    cx.check("OFP-NAM-036", answered.is_ok(), || {
        let why = answered.as_ref().err().map(ToString::to_string);
        format!("{}: {}", function.path("/"), why.unwrap_or_default())
    });
    Ok(())
}
