//! Paths, methods, and HTTP itself.

use crate::case::Case;
use crate::cases;
use crate::context::{Context, Stop};
use crate::requirement::Profile;
use crate::wire::{Request, WireError};

pub(in crate::cases) const CASES: &[Case] = cases! { "general";
    unknown_paths_are_not_found: ["OFP-GEN-011"],
    methods_that_a_path_lacks_are_refused: ["OFP-GEN-012", "OFP-GEN-013"],
    json_is_said_to_be_json: ["OFP-GEN-015"],
    every_answer_is_a_whole_message: ["OFP-GEN-016"],
    answers_come_in_the_order_of_requests: ["OFP-GEN-017"],
    targets_may_be_in_absolute_form: ["OFP-GEN-018"],
};

async fn unknown_paths_are_not_found(cx: &Context) -> Result<(), Stop> {
    for path in [
        "/system/nothing-of-this-name",
        "/system/functions/more/than/that",
        "/nothing-of-this-name",
        "/healthz/more",
    ] {
        let answer = cx.get(path).await?;
        cx.check("OFP-GEN-011", answer.status() == 404, || {
            format!("GET {path} was answered with {}", answer.shown())
        });
    }
    Ok(())
}

async fn methods_that_a_path_lacks_are_refused(cx: &Context) -> Result<(), Stop> {
    let mut allowed = false;
    for (method, path, methods) in [
        ("POST", "/system/info", "GET"),
        ("DELETE", "/system/info", "GET"),
        ("PATCH", "/system/functions", "GET, POST, PUT, DELETE"),
        ("PUT", "/system/scale-function/nobody", "POST"),
        ("DELETE", "/system/function/nobody", "GET"),
    ] {
        let answer = cx.send(Request::new(method, path)).await?;
        cx.check("OFP-GEN-012", matches!(answer.status(), 405 | 501), || {
            format!("{method} {path} was answered with {}", answer.shown())
        });
        if answer.status() == 405 {
            allowed = true;
            let lists = |word: &str| answer.head.headers.lists("allow", word);
            let whole = methods.split(", ").all(lists);
            cx.check("OFP-GEN-013", whole, || {
                let allow = answer.head.headers.all("allow").join(", ");
                format!("405 for {method} {path}, which has {methods}, has Allow {allow:?}")
            });
        }
    }
    if !allowed {
        cx.not_applicable("OFP-GEN-013", "no answer was 405");
    }
    Ok(())
}

async fn json_is_said_to_be_json(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let status = function.status_path();
    let mut paths = vec!["/system/info", "/system/functions", &status];
    if cx.declares(Profile::Secrets) {
        paths.push("/system/secrets");
    }
    for path in paths {
        let answer = cx.get(path).await?;
        let kind = answer.header("content-type").unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let is_json = essence.eq_ignore_ascii_case("application/json");
        cx.check("OFP-GEN-015", is_json || !answer.is_success(), || {
            format!("GET {path} has Content-Type {kind:?}")
        });
    }
    Ok(())
}

async fn every_answer_is_a_whole_message(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-GEN-016";
    // Each twice over one connection: what is too much of one answer is the beginning of the next.
    let requests = [
        Request::get("/system/info"),
        Request::get("/system/functions"),
        Request::get("/system/function/nobody-of-this-name"),
        Request::get("/system/nothing-of-this-name"),
        Request::new("PATCH", "/system/functions"),
        Request::post("/system/functions").json("{"),
        Request::delete("/system/functions").json("{\"functionName\":\"nobody-of-this-name\"}"),
        Request::new("HEAD", "/healthz"),
        Request::get("/healthz"),
        Request::get("/function/nobody-of-this-name"),
    ];
    for request in requests {
        let request = cx.prepare(request);
        let call = request.line();
        let mut connection = cx.connect().await?;
        for turn in ["", " a second time over one connection"] {
            let answer = connection.call(&request).await;
            let closed = matches!(&answer, Err(error) if error.is_end());
            // A connection may be closed after any answer.
            let whole = answer.is_ok() || (closed && !turn.is_empty());
            cx.check(id, whole, || {
                let error = answer.as_ref().err().map(WireError::to_string);
                format!("{call}{turn}: {}", error.unwrap_or_default())
            });
            if !answer.is_ok_and(|answer| !answer.head.headers.lists("connection", "close")) {
                break;
            }
        }
    }
    Ok(())
}

async fn answers_come_in_the_order_of_requests(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-GEN-017";
    let function = cx.function().await?;
    let here = function.status_path();
    let name = format!("\"{}\"", function.name);
    let bad = || Request::post("/system/functions").json("{");
    type Fits = fn(u16, &str, &str) -> bool;
    let status: Fits = |status, text, name| status == 200 && text.contains(name);
    let absent: Fits = |status, _, _| status == 404;
    let info: Fits = |status, text, name| status == 200 && !text.contains(name);
    let refused: Fits = |status, _, _| (400..500).contains(&status) && status != 404;
    let requests = [
        (Request::get(&*here), status),
        (Request::get("/system/function/nobody-of-this-name"), absent),
        (Request::get("/system/info"), info),
        (bad(), refused),
        (Request::get(&*here), status),
        (Request::get("/system/info"), info),
        (Request::get("/system/function/nobody-of-this-name"), absent),
        (bad(), refused),
        (Request::get(&*here), status),
    ];
    for at_once in [false, true] {
        let how = if at_once {
            "sent at once"
        } else {
            "one by one"
        };
        let mut connection = cx.connect().await?;
        if at_once {
            let all = requests.iter().flat_map(|(request, _)| {
                let request = cx.prepare(request.clone());
                request.bytes(cx.address())
            });
            let all: Vec<u8> = all.collect();
            let sent = connection.write(&all).await;
            cx.require(id, sent.is_ok(), || {
                format!("the connection took not all of {} requests", requests.len())
            })?;
        }
        for (number, (request, fits)) in requests.iter().enumerate() {
            let request = cx.prepare(request.clone());
            let answer = match at_once {
                true => connection.answer(&request.method).await,
                false => connection.call(&request).await,
            };
            let good = answer
                .as_ref()
                .is_ok_and(|answer| fits(answer.status(), &answer.text(), &name));
            cx.check(id, good, || {
                let line = request.line();
                let number = number + 1;
                match &answer {
                    Ok(answer) => format!("{how}, {line} as number {number}: {}", answer.shown()),
                    Err(error) => format!("{how}, {line} as number {number}: {error}"),
                }
            });
            // A connection that says that it closes has answered what it will.
            if !answer.is_ok_and(|answer| !answer.head.headers.lists("connection", "close")) {
                break;
            }
        }
    }
    Ok(())
}

async fn targets_may_be_in_absolute_form(cx: &Context) -> Result<(), Stop> {
    for path in ["/system/info", "/system/functions", "/healthz"] {
        let plain = cx.get(path).await?;
        let mut request = cx.prepare(Request::get(path));
        request.target = format!("http://{}{}", cx.address().host, request.target);
        let call = request.line();
        let answer = cx.send(request).await?;
        cx.check("OFP-GEN-018", answer.status() == plain.status(), || {
            format!(
                "{call} was answered with {}, and {path} with {}",
                answer.shown(),
                plain.status()
            )
        });
    }
    Ok(())
}
