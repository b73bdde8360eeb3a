//! `/system/info` and `/healthz`.

use serde_json::Value;

use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};
use crate::wire::Request;

pub(super) const CASES: &[Case] = cases! { "information";
    info_tells_who_the_provider_is: [
        "OFP-INF-001", "OFP-INF-002", "OFP-INF-003", "OFP-INF-004", "OFP-INF-005",
    ],
    health_is_told: ["OFP-INF-006", "OFP-INF-007"],
};

async fn info_tells_who_the_provider_is(cx: &Context) -> Result<(), Stop> {
    let answer = cx.get("/system/info").await?;
    let object = answer.json().ok().filter(Value::is_object);
    cx.require(
        "OFP-INF-001",
        answer.status() == 200 && object.is_some(),
        || format!("GET /system/info was answered with {}", answer.shown()),
    )?;
    let mut info = object.unwrap_or_default();
    // A gateway wraps the object of its provider, and a provider that is its own gateway does too.
    if info.get("provider").is_some_and(Value::is_object) {
        let version = info.get("version").is_some_and(Value::is_object);
        cx.check("OFP-INF-003", version, || {
            format!("`version` is {}", shown(&info, "/version"))
        });
        info = info.get("provider").cloned().unwrap_or_default();
    } else if cx.is_gateway() {
        cx.check("OFP-INF-002", false, || {
            format!(
                "the gateway has in `provider` {}",
                shown(&info, "/provider")
            )
        });
    }
    let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str);
    let named = text("/provider").is_some_and(|name| !name.is_empty());
    cx.check("OFP-INF-002", named, || {
        format!("`provider` is {}", shown(&info, "/provider"))
    });
    let release = text("/version/release");
    let sha = text("/version/sha");
    cx.check("OFP-INF-003", release.is_some() && sha.is_some(), || {
        format!("`version` is {}", shown(&info, "/version"))
    });
    let told = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    cx.check("OFP-INF-004", told(release) && told(sha), || {
        format!("`version` is {}", shown(&info, "/version"))
    });
    cx.check("OFP-INF-005", text("/orchestration").is_some(), || {
        format!("`orchestration` is {}", shown(&info, "/orchestration"))
    });
    Ok(())
}

async fn health_is_told(cx: &Context) -> Result<(), Stop> {
    let answer = cx.get("/healthz").await?;
    cx.check("OFP-INF-006", answer.status() == 200, || {
        format!("GET /healthz was answered with {}", answer.shown())
    });
    // A body behind the answer to HEAD would be in the way of the second answer.
    let mut connection = cx.connect().await?;
    let head = Request::new("HEAD", "/healthz");
    let first = connection.call(&cx.prepare(head)).await;
    let status = first.as_ref().map(crate::wire::Answer::status);
    let same = matches!(status, Ok(status) if status == answer.status());
    let kept = match &first {
        Ok(first) if !first.head.headers.lists("connection", "close") => {
            let again = cx.prepare(Request::get("/healthz"));
            connection.call(&again).await.is_ok()
        }
        _ => true,
    };
    cx.check("OFP-INF-007", same && kept, || {
        let status = first
            .as_ref()
            .map_or_else(ToString::to_string, |answer| answer.status().to_string());
        match kept {
            true => format!("HEAD /healthz: {status}, and GET {}", answer.status()),
            false => "after HEAD /healthz the connection has bytes that are no answer".to_owned(),
        }
    });
    Ok(())
}

fn shown(info: &Value, pointer: &str) -> String {
    info.pointer(pointer)
        .map_or_else(|| "not there".to_owned(), ToString::to_string)
}
