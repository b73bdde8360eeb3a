//! The routes of the API.

mod functions;
mod logs;
mod namespaces;
mod secrets;

pub(crate) use logs::send as send_lines;

use std::sync::Arc;

use serde_json::json;

use crate::answer::Answer;
use crate::auth;
use crate::defect::Defect;
use crate::deployment::is_namespace_name;
use crate::http1::Headers;
use crate::object::Object;
use crate::state::{DEFAULT_NAMESPACE, Inner, State};

/// A request to the API.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query, percent-decoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// A path of the API and what it has.
struct Route {
    name: &'static str,
    methods: &'static [&'static str],
    open: bool,
    /// What follows the fixed part of the path.
    rest: String,
}

impl Request {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    fn object(&self, inner: &Inner, known: &[&str]) -> Result<Object, Answer> {
        if inner.has(Defect::ContentTypeNeeded) && !self.headers.has("content-type") {
            return Err(Answer::text(415, "application/json is needed"));
        }
        let dropped = inner.has(Defect::ChunkedDeleteIgnored)
            && self.method == "DELETE"
            && self.headers.has("transfer-encoding");
        let body = if dropped { &[][..] } else { &self.body };
        let object = Object::parse(body).map_err(|refusal| {
            if inner.has(Defect::BadBodyIs500) {
                return Answer::text(500, "the body cannot be read");
            }
            if inner.has(Defect::BadBodyAccepted) {
                return Answer::empty(202);
            }
            refusal
        })?;
        let unknown = object.names().any(|name| !known.contains(&name));
        if unknown && inner.has(Defect::UnknownMembersRefused) {
            return Err(Answer::text(400, "there is a member that is not known"));
        }
        if object.has_null() && inner.has(Defect::NullRefused) {
            return Err(Answer::text(400, "there is a member that is null"));
        }
        if inner.has(Defect::WrongTypesAccepted) {
            return Ok(object.without_wrong_types());
        }
        Ok(object)
    }
}

/// The namespace of a request: that of the body, else of the query, else the default one.
fn namespace(
    inner: &Inner,
    state: &State,
    body: Option<&str>,
    query: Option<&str>,
) -> Result<String, Answer> {
    let named = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    if inner.has(Defect::EmptyNamespaceRefused) && (query == Some("") || body == Some("")) {
        return Err(Answer::text(400, "the namespace is empty"));
    }
    let (body, query) = (named(body), named(query));
    if let (Some(body), Some(query)) = (&body, &query)
        && body != query
    {
        return Err(Answer::text(
            400,
            "body and query name different namespaces",
        ));
    }
    let Some(named) = body.or(query) else {
        return Ok(DEFAULT_NAMESPACE.to_owned());
    };
    if named == DEFAULT_NAMESPACE && inner.has(Defect::DefaultByNameRefused) {
        return Err(Answer::text(400, format!("{named} is no namespace")));
    }
    if !is_namespace_name(&named) {
        return Err(Answer::text(
            400,
            format!("{named:?} is no name of a namespace"),
        ));
    }
    if named != DEFAULT_NAMESPACE && !state.namespaces.contains_key(&named) {
        return Err(Answer::text(400, format!("there is no namespace {named}")));
    }
    Ok(named)
}

fn route(path: &str) -> Option<Route> {
    let fixed: [(&str, &str, &[&str], bool); 7] = [
        (
            "/system/functions",
            "functions",
            &["GET", "POST", "PUT", "DELETE"],
            false,
        ),
        ("/system/info", "info", &["GET"], false),
        (
            "/system/secrets",
            "secrets",
            &["GET", "POST", "PUT", "DELETE"],
            false,
        ),
        ("/system/namespaces", "namespaces", &["GET"], false),
        ("/system/logs", "logs", &["GET"], false),
        ("/healthz", "healthz", &["GET", "HEAD"], true),
        ("/metrics", "metrics", &["GET"], true),
    ];
    let named: [(&str, &str, &[&str]); 3] = [
        ("/system/function/", "function", &["GET"]),
        ("/system/scale-function/", "scale", &["POST"]),
        (
            "/system/namespace/",
            "namespace",
            &["GET", "POST", "PUT", "DELETE"],
        ),
    ];
    for (whole, name, methods, open) in fixed {
        if path == whole {
            let rest = String::new();
            return Some(Route {
                name,
                methods,
                open,
                rest,
            });
        }
    }
    for (prefix, name, methods) in named {
        let rest = path.strip_prefix(prefix);
        let rest =
            rest.filter(|rest| !rest.contains('/') && (!rest.is_empty() || name == "namespace"));
        if let Some(rest) = rest {
            let rest = rest.to_owned();
            return Some(Route {
                name,
                methods,
                open: false,
                rest,
            });
        }
    }
    None
}

/// Whether a request is to be refused before its body is read.
pub(crate) fn refuse(inner: &Inner, request: &Request) -> Option<Answer> {
    let route = route(&request.path)?;
    let read = request.method == "GET";
    let open = route.open && !(route.name == "healthz" && inner.has(Defect::HealthClosed))
        || route.name == "info" && inner.has(Defect::InfoOpen)
        || route.name == "logs" && inner.has(Defect::LogsOpen)
        || route.name.starts_with("namespace") && inner.has(Defect::NamespacesOpen)
        || read && inner.has(Defect::WritesOnlyClosed);
    if open {
        return None;
    }
    if route.name == "scale"
        && inner.has(Defect::RightRefusedOnScale)
        && inner.options.credentials.is_some()
    {
        return Some(auth::refusal(inner));
    }
    auth::check(inner, &request.headers)
}

/// What the API says to a request.
pub(crate) fn answer(inner: &Arc<Inner>, request: &Request) -> Answer {
    let Some(route) = route(&request.path) else {
        if inner.has(Defect::UnknownPathIs200) {
            return Answer::empty(200);
        }
        return Answer::text(404, "404 page not found");
    };
    if !route.methods.contains(&request.method.as_str()) {
        if inner.has(Defect::WrongMethodIs200) {
            return Answer::empty(200);
        }
        return Answer::text(405, "this path does not have that method")
            .with("Allow", route.methods.join(", "));
    }
    let known = [
        "namespace",
        "usage",
        "name",
        "tail",
        "since",
        "follow",
        "instance",
    ];
    let unknown = request
        .query
        .iter()
        .any(|(name, _)| !known.contains(&name.as_str()));
    if unknown && inner.has(Defect::UnknownQueryRefused) {
        return Answer::text(400, "there is a key in the query that is not known");
    }
    if let Some((_, length)) = request
        .headers
        .0
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"))
        && inner.has(Defect::ChunkedBodyRefused)
        && !length.is_empty()
    {
        return Answer::text(411, "a Content-Length is needed");
    }
    let method = request.method.as_str();
    let answered = match (route.name, method) {
        ("functions", "GET") => functions::list(inner, request),
        ("functions", "POST") => functions::deploy(inner, request),
        ("functions", "PUT") => functions::update(inner, request),
        ("functions", _) => functions::delete(inner, request),
        ("function", _) => functions::status(inner, request, &route.rest),
        ("scale", _) => functions::scale(inner, request, &route.rest),
        ("info", _) => Ok(info(inner)),
        ("secrets", "GET") => secrets::list(inner, request),
        ("secrets", "POST") => secrets::create(inner, request),
        ("secrets", "PUT") => secrets::update(inner, request),
        ("secrets", _) => secrets::delete(inner, request),
        ("namespaces", _) => Ok(namespaces::list(inner)),
        ("namespace", "GET") => namespaces::get(inner, &route.rest),
        ("namespace", "POST") => namespaces::create(inner, request),
        ("namespace", "PUT") => namespaces::update(inner, request, &route.rest),
        ("namespace", _) => namespaces::delete(inner, request, &route.rest),
        ("logs", _) => logs::query(inner, request),
        ("healthz", _) if inner.has(Defect::Unhealthy) => Ok(Answer::empty(503)),
        ("healthz", _) => Ok(Answer::empty(200)),
        _ => Ok(inner.metrics.answer(inner)),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

/// How a request is counted; `None` for those that are not.
pub(crate) fn counted_path(inner: &Inner, path: &str) -> Option<String> {
    let route = route(path)?;
    match route.name {
        "healthz" | "metrics" => None,
        "namespace" if inner.has(Defect::NamespacesMakeSeries) => Some(path.to_owned()),
        "namespace" => Some("/system/namespace".to_owned()),
        "function" => Some("/system/function".to_owned()),
        "scale" => Some("/system/scale-function".to_owned()),
        _ => Some(path.to_owned()),
    }
}

fn info(inner: &Inner) -> Answer {
    let name = if inner.has(Defect::NoProviderName) {
        ""
    } else {
        "memory-provider"
    };
    let mut info = json!({
        "provider": name,
        "version": { "release": env!("CARGO_PKG_VERSION"), "sha": "0000000" },
        "orchestration": "memory",
    });
    if let Some(info) = info.as_object_mut() {
        if inner.has(Defect::NoVersion) {
            info.insert("version".to_owned(), serde_json::Value::Null);
        }
        if inner.has(Defect::NoOrchestration) {
            info.remove("orchestration");
        }
    }
    if inner.has(Defect::InfoIsArray) {
        info = json!([info]);
    }
    Answer::json(
        if inner.has(Defect::InfoIs202) {
            202
        } else {
            200
        },
        &info,
    )
}
