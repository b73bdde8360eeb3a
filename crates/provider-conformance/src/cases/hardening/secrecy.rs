//! What is not to be told.

use serde_json::Value;

use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};
use crate::requirement::Profile;
use crate::wire::Request;

pub(in crate::cases) const CASES: &[Case] = cases! { "hardening";
    refusals_tell_nothing_of_the_host: ["OFP-HRD-019"],
    the_environment_of_the_provider_stays_there: ["OFP-HRD-020"],
    calls_reach_functions_only: ["OFP-HRD-021"],
};

async fn refusals_tell_nothing_of_the_host(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let value = format!("value-{name}");
    let mut requests = vec![
        Request::post("/system/functions").json("{"),
        Request::post("/system/functions").json(r#"{"service":"../x","image":"x"}"#),
        Request::delete("/system/functions").json(format!(r#"{{"functionName":"{name}"}}"#)),
        Request::get(format!("/system/function/{name}")),
        Request::post(format!("/system/scale-function/{name}")).json(r#"{"replicas":1}"#),
        Request::get(format!("/function/{name}")),
    ];
    if cx.declares(Profile::Secrets) {
        for (method, secret) in [
            ("POST", "../x"),
            ("POST", ""),
            ("PUT", &name),
            ("DELETE", &name),
            ("DELETE", "../x"),
        ] {
            let body = serde_json::json!({ "name": secret, "value": value });
            requests.push(Request::new(method, "/system/secrets").json(body.to_string()));
        }
    }
    if cx.declares(Profile::Logs) {
        requests.push(Request::get(format!("/system/logs?name={name}&tail=x")));
    }
    let traces = [
        "panicked at",
        "goroutine ",
        "stack backtrace",
        ".rs:",
        ".go:",
        "Traceback",
        "at java.",
    ];
    let places = [
        "/var/", "/home/", "/root/", "/usr/", "/etc/", "/tmp/", "/run/", "/opt/",
    ];
    for request in requests {
        let call = request.line();
        let answer = cx.send(request).await?;
        if answer.is_success() {
            continue;
        }
        let text = answer.text();
        let told = traces
            .into_iter()
            .chain(places)
            .find(|one| text.contains(one));
        let secret = text.contains(&value).then_some("the value of a secret");
        let told = told.or(secret);
        cx.check("OFP-HRD-019", told.is_none(), || {
            format!(
                "the refusal of {call} has {}: {}",
                told.unwrap_or_default(),
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn the_environment_of_the_provider_stays_there(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let answer = cx.get(&function.path("/do/environment")).await?;
    let told = answer.json().unwrap_or_default();
    let Some(variables) = told.get("variables").and_then(Value::as_object) else {
        let text = format!("the function tells no variables: {}", answer.shown());
        return Err(Stop::Setup(text));
    };
    // What configures providers, and what a shell or a service manager leaves in a process.
    let foreign = [
        "basic_auth",
        "secret_mount_path",
        "max_idle_conns",
        "functions_dir",
        "state_dir",
        "functions_provider_url",
        "KUBECONFIG",
        "RUST_LOG",
        "LISTEN_FDS",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SSH_AUTH_SOCK",
        "SSH_CONNECTION",
        "XDG_RUNTIME_DIR",
        "OLDPWD",
        "LS_COLORS",
        "SUDO_USER",
        "CARGO",
        "CARGO_HOME",
        "GOPATH",
    ];
    let leaked: Vec<_> = foreign
        .iter()
        .filter(|name| variables.contains_key(**name))
        .collect();
    cx.check("OFP-HRD-020", leaked.is_empty(), || {
        format!("the function has the variables {leaked:?}")
    });
    Ok(())
}

async fn calls_reach_functions_only(cx: &Context) -> Result<(), Stop> {
    for (name, namespace) in [
        ("gateway", "openfaas"),
        ("prometheus", "openfaas"),
        ("nats", "openfaas"),
        ("kubernetes", "default"),
        ("kube-dns", "kube-system"),
        ("localhost", "localdomain"),
        ("metadata", "internal"),
    ] {
        let target = format!("/function/{name}.{namespace}/");
        let answer = cx.send(Request::get(&*target)).await?;
        cx.check("OFP-HRD-021", answer.status() >= 400, || {
            format!("{target} was answered with {}", answer.shown())
        });
    }
    Ok(())
}
