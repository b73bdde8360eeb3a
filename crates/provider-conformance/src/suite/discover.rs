//! What a provider seems to have.
//!
//! A profile is there when its plainest call works: no more is claimed, and no less is then asked
//! for. `hardening`, and features whose absence cannot be told from a fault, are not discovered.

use std::time::Duration;

use provider_types::wire::{self, ScaleServiceRequest};

use crate::context::{Context, Created, Function, Stop, status};
use crate::declared::Declared;
use crate::requirement::{Feature, Profile};
use crate::wire::{Answer, Request};

pub(super) async fn look(cx: &Context) -> Result<Declared, Stop> {
    let mut seen = Declared::default();
    let has = |seen: &mut Declared, profile, there: bool| {
        if there {
            seen.profiles.insert(profile);
        }
    };
    let closed = cx
        .send(Request::get("/system/functions").anonymous())
        .await?;
    has(&mut seen, Profile::Auth, closed.status() == 401);
    let secrets = cx.get("/system/secrets").await?;
    let listed = secrets.status() == 200 && secrets.json().is_ok_and(|list| list.is_array());
    has(&mut seen, Profile::Secrets, listed);
    // A namespace without a name: refused where namespaces can be made, else not known.
    let made = cx
        .send(Request::post("/system/namespace/").json("{}"))
        .await?;
    let there = made.is_refusal() && !matches!(made.status(), 401 | 403 | 404 | 405);
    has(&mut seen, Profile::Namespaces, there);
    let metrics = cx.get("/metrics").await?;
    let there = metrics.status() == 200 && metrics.text().contains("# TYPE");
    has(&mut seen, Profile::Metrics, there);

    // What follows needs a function; where none can be deployed, the cases will say why.
    let dotted = format!("{}.dotted", cx.name());
    if cx.deploy(&cx.deployment(&dotted)).await?.is_success() {
        seen.features.insert(Feature::DottedNames);
    }
    let function = match cx.function().await {
        Ok(function) => function,
        Err(stop @ Stop::Provider { .. }) => return Err(stop),
        Err(_) => return Ok(seen),
    };
    let lines = cx
        .get(&format!(
            "/system/logs?name={}&namespace={}",
            function.name, function.namespace
        ))
        .await?;
    has(&mut seen, Profile::Logs, lines.status() == 200);
    let usage = cx
        .get(&format!("{}&usage=1", function.status_path()))
        .await?;
    if status(&usage).is_some_and(|status| status.usage.is_some()) {
        seen.features.insert(Feature::Usage);
    }
    let streams = streams(cx, &function).await;
    has(&mut seen, Profile::Streaming, streams);
    let upgrade = Request::get(function.path("/do/upgrade"))
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let upgraded = cx.try_send(upgrade).await;
    let there = upgraded.is_ok_and(|answer| answer.status() == 101);
    has(&mut seen, Profile::Upgrade, there);
    let two = scaled(cx, &function, 2).await?;
    has(&mut seen, Profile::Scale, two);
    let zero = scaled(cx, &function, 0).await?;
    has(&mut seen, Profile::ScaleZero, zero);
    if zero && cx.get(&function.path("/")).await?.is_success() {
        seen.features.insert(Feature::WakeOnCall);
    }
    Ok(seen)
}

/// Whether the function can have so many replicas: accepted, and so in its status.
async fn scaled(cx: &Context, function: &Function, replicas: u64) -> Result<bool, Stop> {
    let mut body = ScaleServiceRequest::new(&function.name, replicas);
    body.namespace.clone_from(&function.namespace);
    let target = format!("/system/scale-function/{}", function.name);
    let answer = cx
        .send(Request::post(target).json(wire::to_vec(&body)))
        .await?;
    if !answer.is_success() {
        return Ok(false);
    }
    let wanted = |answer: &Answer| {
        status(answer).is_some_and(|status| {
            status.replicas == replicas && status.available_replicas == replicas
        })
    };
    let limit = cx.timeouts().settle;
    let request = Request::get(function.status_path());
    Ok(cx
        .poll("the replicas", limit, request, wanted)
        .await?
        .is_ok())
}

/// Whether the first of two pieces comes well before the second.
async fn streams(cx: &Context, function: &Function) -> bool {
    let gap = Duration::from_millis(250);
    let target = function.path("/do/stream?pieces=2&gap=250&as=ndjson");
    let request = Request::get(target).header("Accept", "application/x-ndjson");
    let Ok(mut connection) = cx.connect().await else {
        return false;
    };
    if connection.send(&cx.prepare(request)).await.is_err() {
        return false;
    }
    let streamed = async {
        let head = connection.head("GET").await.ok()?;
        let first = connection.piece().await.ok()??;
        let second = connection.piece().await.ok()??;
        Some(head.status == 200 && second.at.duration_since(first.at) > gap / 2)
    };
    streamed.await.unwrap_or(false)
}

/// What is left over of runs: everything with the kit's prefix, of one run or of all.
pub(super) async fn left_over(cx: &Context) -> Result<Vec<Created>, Stop> {
    let prefix = crate::context::PREFIX;
    let text = |entry: &serde_json::Value, member: &str| {
        let value = entry.get(member).and_then(serde_json::Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let listed = async |target: String| -> Result<Vec<serde_json::Value>, Stop> {
        let answer = cx.get(&target).await?;
        // A provider without secrets or namespaces has none of them left over.
        let list = answer.json().ok().filter(|_| answer.status() == 200);
        Ok(list
            .and_then(|list| list.as_array().cloned())
            .unwrap_or_default())
    };
    let mut namespaces = vec![String::new()];
    for name in listed("/system/namespaces".to_owned()).await? {
        namespaces.extend(name.as_str().map(str::to_owned));
    }
    let mut found = Vec::new();
    let ours = namespaces.iter().filter(|name| name.starts_with(prefix));
    found.extend(ours.map(|name| Created::namespace(name)));
    for (kind, path) in [
        ("secret", "/system/secrets"),
        ("function", "/system/functions"),
    ] {
        for namespace in &namespaces {
            let target = match namespace.as_str() {
                "" => path.to_owned(),
                _ => format!("{path}?namespace={namespace}"),
            };
            for entry in listed(target).await? {
                let (name, space) = (text(&entry, "name"), text(&entry, "namespace"));
                let space = if space.is_empty() { namespace } else { &space };
                if !name.starts_with(prefix) {
                    continue;
                }
                let one = match kind {
                    "secret" => Created::secret(&name, space),
                    _ => Created::function(&name, space),
                };
                if !found.contains(&one) {
                    found.push(one);
                }
            }
        }
    }
    // What was found last goes first: functions, then secrets, then namespaces.
    found.reverse();
    Ok(found)
}
