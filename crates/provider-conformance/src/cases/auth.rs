//! Credentials: who is let in where.

use provider_types::wire;

use super::steps::{scaling, status_document};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Stop};
use crate::requirement::Profile;
use crate::target::basic;
use crate::wire::{Answer, Request};

pub(super) const CASES: &[Case] = cases! { "auth";
    nothing_is_told_without_credentials: ["OFP-AUT-001", "OFP-AUT-002", "OFP-AUT-003"],
    routes_of_namespaces_ask_too: ["OFP-AUT-012"],
    a_refused_request_changes_nothing: ["OFP-AUT-013"],
    another_spelling_opens_nothing: ["OFP-AUT-015"],
    wrong_credentials_are_refused: ["OFP-AUT-004"],
    credentials_that_are_none_are_refused: ["OFP-AUT-005", "OFP-AUT-006", "OFP-AUT-014"],
    the_scheme_is_read_in_any_case: ["OFP-AUT-007"],
    right_credentials_open_every_route: ["OFP-AUT-008"],
    calls_and_health_are_open: ["OFP-AUT-009", "OFP-AUT-010", "OFP-AUT-011"],
};

/// A request for each method of each route that is there, none of which does anything: they name
/// what does not exist, or hold a body that is no JSON.
fn harmless(cx: &Context) -> Vec<Request> {
    let name = cx.name();
    let mut all = vec![
        Request::get("/system/info"),
        Request::get("/system/functions"),
        Request::post("/system/functions").json("{"),
        Request::put("/system/functions").json("{"),
        Request::delete("/system/functions").json("{"),
        Request::get(format!("/system/function/{name}")),
        Request::post(format!("/system/scale-function/{name}")).json("{"),
    ];
    if cx.declares(Profile::Secrets) {
        all.push(Request::get("/system/secrets"));
        all.push(Request::post("/system/secrets").json("{"));
        all.push(Request::put("/system/secrets").json("{"));
        all.push(Request::delete("/system/secrets").json("{"));
    }
    if cx.declares(Profile::Logs) {
        all.push(Request::get(format!("/system/logs?name={name}")));
    }
    all
}

/// The same for the routes of namespaces.
fn harmless_of_namespaces(cx: &Context) -> Vec<Request> {
    let mut all = vec![Request::get("/system/namespaces")];
    if cx.declares(Profile::Namespaces) {
        let one = format!("/system/namespace/{}", cx.name());
        all.push(Request::post("/system/namespace/").json("{"));
        all.push(Request::get(&*one));
        all.push(Request::put(&*one).json("{"));
        all.push(Request::delete(&*one).json("{"));
    }
    all
}

async fn nothing_is_told_without_credentials(cx: &Context) -> Result<(), Stop> {
    for request in harmless(cx) {
        let call = request.line();
        let answer = cx.send(request.anonymous()).await?;
        let refused = answer.status() == 401;
        cx.check("OFP-AUT-001", refused, || {
            format!(
                "{call} without credentials was answered with {}",
                answer.shown()
            )
        });
        if !refused {
            continue;
        }
        let challenge = answer.header("www-authenticate");
        cx.check("OFP-AUT-002", challenge.is_some(), || {
            format!("{call}: {}", answer.shown())
        });
        let challenge = challenge.unwrap_or_default();
        let lower = challenge.to_ascii_lowercase();
        let with_realm = lower.starts_with("basic ") && lower.contains("realm=");
        cx.check("OFP-AUT-003", with_realm, || {
            format!("{call}: WWW-Authenticate is {challenge:?}")
        });
    }
    for id in ["OFP-AUT-002", "OFP-AUT-003"] {
        cx.not_applicable(id, "where nothing was answered with 401");
    }
    Ok(())
}

async fn routes_of_namespaces_ask_too(cx: &Context) -> Result<(), Stop> {
    let others = cx
        .send(Request::get("/system/functions").anonymous())
        .await?;
    if others.status() != 401 {
        let text = format!("the list of functions is open: {}", others.shown());
        return Err(Stop::Setup(text));
    }
    for request in harmless_of_namespaces(cx) {
        let call = request.line();
        let answer = cx.send(request.anonymous()).await?;
        // A provider without namespaces has no such route.
        let absent = !cx.declares(Profile::Namespaces) && matches!(answer.status(), 404 | 501);
        cx.check("OFP-AUT-012", answer.status() == 401 || absent, || {
            format!(
                "{call} without credentials was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn a_refused_request_changes_nothing(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-AUT-013";
    let function = cx.function().await?;
    let before = status_document(cx, &function).await?;
    let name = cx.name();
    cx.will_create(Created::function(&name, ""));
    let mut changed = cx.deployment(&function.name);
    changed.labels = Some([("changed".to_owned(), "yes".to_owned())].into());
    let gone = format!(r#"{{"functionName":"{}"}}"#, function.name);
    let mut requests = vec![
        Request::post("/system/functions").json(wire::to_vec(&cx.deployment(&name))),
        Request::put("/system/functions").json(wire::to_vec(&changed)),
        scaling(&function, 2),
        Request::delete("/system/functions").json(gone),
    ];
    if cx.declares(Profile::Secrets) {
        cx.will_create(Created::secret(&name, ""));
        let secret = format!(r#"{{"name":"{name}","value":"of nobody"}}"#);
        requests.push(Request::post("/system/secrets").json(secret));
    }
    for request in requests {
        let call = request.line();
        for request in [
            request.clone().anonymous(),
            request.header("Authorization", basic("nobody", "wrong")),
        ] {
            let answer = cx.send(request).await?;
            if answer.status() != 401 {
                let text = format!("{call} is open: {}", answer.shown());
                return Err(Stop::Setup(text));
            }
        }
    }
    let made = cx.get(&format!("/system/function/{name}")).await?;
    cx.check(id, made.status() == 404, || {
        format!(
            "a deployment that was answered with 401 has made {}",
            made.shown()
        )
    });
    if cx.declares(Profile::Secrets) {
        let secrets = cx.get("/system/secrets").await?;
        cx.check(id, !secrets.text().contains(&name), || {
            format!(
                "the creation of the secret {name} was answered with 401, and it is there: {}",
                secrets.shown()
            )
        });
    }
    let after = cx.get(&function.status_path()).await?;
    let now = after.json().unwrap_or_default();
    let lasting = ["name", "image", "labels", "replicas"];
    let same = lasting.iter().all(|one| before.get(one) == now.get(one));
    cx.check(id, same, || {
        format!(
            "an update, a scaling and a deletion were answered with 401, and turned {before} \
             into {}",
            after.shown()
        )
    });
    Ok(())
}

async fn another_spelling_opens_nothing(cx: &Context) -> Result<(), Stop> {
    asks(cx).await?;
    let prefix = &cx.address().prefix;
    let absolute = format!("http://{}{prefix}/system/functions", cx.address().host);
    for target in [
        "/%73ystem/functions",
        "/system/%66unctions",
        "/system%2Ffunctions",
        "//system/functions",
        "/system//functions",
        "/./system/functions",
        "/healthz/../system/functions",
        "/healthz/%2e%2e/system/functions",
        "/function/../system/functions",
        "/SYSTEM/functions",
        "/system/functions/",
        "/system/functions?x=/healthz",
        &*absolute,
    ] {
        let answer = cx.send(Request::get(target).anonymous()).await?;
        let list = answer.json().is_ok_and(|told| told.is_array());
        cx.check("OFP-AUT-015", !(answer.is_success() && list), || {
            format!(
                "GET {target} without credentials was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

/// An end where the route that wrong credentials are tried on asks nobody for any.
async fn asks(cx: &Context) -> Result<(), Stop> {
    let open = cx
        .send(Request::get("/system/functions").anonymous())
        .await?;
    if open.is_success() {
        let text = format!("the list of functions is open: {}", open.shown());
        return Err(Stop::Setup(text));
    }
    Ok(())
}

async fn told(cx: &Context, authorization: &str) -> Result<Answer, Stop> {
    let request = Request::get("/system/functions").header("Authorization", authorization);
    cx.send(request).await
}

async fn wrong_credentials_are_refused(cx: &Context) -> Result<(), Stop> {
    let Some((user, password)) = cx.basic_credentials() else {
        cx.not_applicable("OFP-AUT-004", "the run has no user and password");
        return Ok(());
    };
    asks(cx).await?;
    let shorter = password.get(..password.len().saturating_sub(1));
    let changed: String = password
        .chars()
        .map(|one| match one {
            one if one.is_ascii_lowercase() => one.to_ascii_uppercase(),
            one if one.is_ascii_digit() => 'x',
            one => one.to_ascii_lowercase(),
        })
        .collect();
    let wrong = [
        ("a wrong password", basic(user, "wrong")),
        ("a longer password", basic(user, &format!("{password}x"))),
        (
            "a shorter password",
            basic(user, shorter.unwrap_or_default()),
        ),
        ("the password in another case", basic(user, &changed)),
        ("an empty password", basic(user, "")),
        ("a wrong user", basic("wrong", password)),
        ("a longer user", basic(&format!("{user}x"), password)),
        ("an empty user", basic("", password)),
        ("user and password exchanged", basic(password, user)),
    ];
    let right = basic(user, password);
    for (what, authorization) in wrong {
        if authorization == right {
            continue;
        }
        let answer = told(cx, &authorization).await?;
        cx.check("OFP-AUT-004", answer.status() == 401, || {
            format!("{what} was answered with {}", answer.shown())
        });
    }
    Ok(())
}

async fn credentials_that_are_none_are_refused(cx: &Context) -> Result<(), Stop> {
    asks(cx).await?;
    for authorization in ["Bearer ", "Bearer"] {
        let answer = told(cx, authorization).await?;
        cx.check("OFP-AUT-005", answer.status() == 401, || {
            format!("{authorization:?} was answered with {}", answer.shown())
        });
    }
    // The third is "nocolon", the fourth bytes that are no UTF-8.
    for authorization in [
        "Basic",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        "Basic /////w==",
        "x",
        "",
    ] {
        let answer = told(cx, authorization).await?;
        let refused = matches!(answer.status(), 400 | 401);
        cx.check("OFP-AUT-006", refused, || {
            format!("{authorization:?} was answered with {}", answer.shown())
        });
    }
    let answer = told(cx, &basic("", "")).await?;
    cx.check("OFP-AUT-014", answer.status() == 401, || {
        format!("empty credentials were answered with {}", answer.shown())
    });
    Ok(())
}

async fn the_scheme_is_read_in_any_case(cx: &Context) -> Result<(), Stop> {
    let Some((user, password)) = cx.basic_credentials() else {
        cx.not_applicable("OFP-AUT-007", "the run has no user and password");
        return Ok(());
    };
    let right = basic(user, password);
    let encoded = right.strip_prefix("Basic ").unwrap_or_default();
    for scheme in ["basic", "BASIC"] {
        let answer = told(cx, &format!("{scheme} {encoded}")).await?;
        cx.check("OFP-AUT-007", answer.is_success(), || {
            format!("the scheme {scheme:?} was answered with {}", answer.shown())
        });
    }
    Ok(())
}

async fn right_credentials_open_every_route(cx: &Context) -> Result<(), Stop> {
    for request in [harmless(cx), harmless_of_namespaces(cx)].concat() {
        let call = request.line();
        let answer = cx.send(request).await?;
        let open = !matches!(answer.status(), 401 | 403);
        cx.check("OFP-AUT-008", open, || {
            format!(
                "{call} with right credentials was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}

async fn calls_and_health_are_open(cx: &Context) -> Result<(), Stop> {
    let health = cx.get("/healthz").await?;
    cx.check("OFP-AUT-010", health.status() == 200, || {
        format!(
            "/healthz without credentials was answered with {}",
            health.shown()
        )
    });
    if cx.declares(Profile::Metrics) {
        let metrics = cx.get("/metrics").await?;
        cx.check("OFP-AUT-011", metrics.status() == 200, || {
            format!(
                "/metrics without credentials was answered with {}",
                metrics.shown()
            )
        });
    } else {
        cx.not_applicable("OFP-AUT-011", "there are no metrics");
    }
    let function = cx.function().await?;
    for request in [
        Request::post(function.path("/")),
        Request::get(function.path("/system/functions")),
        // A function may have credentials of its own.
        Request::get(function.path("/")).header("Authorization", "Bearer of-the-function"),
    ] {
        let call = request.line();
        let answer = cx.send(request.anonymous()).await?;
        cx.check("OFP-AUT-009", answer.is_success(), || {
            format!(
                "{call} without credentials of the API was answered with {}",
                answer.shown()
            )
        });
    }
    Ok(())
}
