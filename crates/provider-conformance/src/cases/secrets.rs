//! `/system/secrets`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::steps::{asked, together};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Created, Function, Stop};
use crate::requirement::Profile;
use crate::wire::{Answer, Request};

pub(super) const CASES: &[Case] = cases! { "secrets";
    alone a_secret_lives_and_goes: [
        "OFP-SEC-001", "OFP-SEC-002", "OFP-SEC-003", "OFP-SEC-004", "OFP-SEC-005", "OFP-SEC-006",
        "OFP-SEC-007", "OFP-SEC-013", "OFP-SEC-016",
    ],
    a_function_reads_exactly_its_secrets: [
        "OFP-SEC-007", "OFP-SEC-008", "OFP-SEC-009", "OFP-SEC-010", "OFP-SEC-022",
    ],
    a_secret_is_created_once: ["OFP-SEC-011", "OFP-SEC-012"],
    what_does_not_exist_is_neither_changed_nor_deleted: ["OFP-SEC-014", "OFP-SEC-017"],
    a_changed_secret_is_read_after_a_deployment: ["OFP-SEC-015"],
    a_secret_has_a_name: ["OFP-SEC-018"],
    a_name_that_leads_out_changes_nothing: ["OFP-SEC-019"],
    a_function_needs_secrets_that_there_are: ["OFP-SEC-020"],
    of_requests_at_once_one_creates: ["OFP-SEC-021"],
};

const PATH: &str = "/system/secrets";

/// A request about a secret; what it may create is removed.
async fn tell(cx: &Context, method: &str, body: &Value) -> Result<Answer, Stop> {
    if let Some(name) = body.get("name").and_then(Value::as_str)
        && method != "DELETE"
    {
        let namespace = body.get("namespace").and_then(Value::as_str);
        cx.will_create(Created::secret(name, namespace.unwrap_or_default()));
    }
    if let Some(value) = body.get("value").and_then(Value::as_str) {
        cx.hide(value);
    }
    cx.send(Request::new(method, PATH).json(body.to_string()))
        .await
}

/// Creates a secret, with any success.
async fn create(cx: &Context, body: &Value) -> Result<(), Stop> {
    let answer = tell(cx, "POST", body).await?;
    if answer.is_success() {
        return Ok(());
    }
    let text = format!("the secret was answered with {}", answer.shown());
    Err(Stop::Setup(text))
}

/// The list, where it is one.
async fn list(cx: &Context) -> Result<(Answer, Option<Vec<Value>>), Stop> {
    let answer = cx.get(PATH).await?;
    let entries = match answer.json() {
        Ok(Value::Array(entries)) if answer.status() == 200 => Some(entries),
        _ => None,
    };
    Ok((answer, entries))
}

fn name_of(entry: &Value) -> Option<&str> {
    entry.get("name").and_then(Value::as_str)
}

async fn is_listed(cx: &Context, name: &str) -> Result<bool, Stop> {
    let (answer, entries) = list(cx).await?;
    let entries = entries
        .ok_or_else(|| Stop::Setup(format!("the list cannot be read: {}", answer.shown())))?;
    Ok(entries.iter().any(|entry| name_of(entry) == Some(name)))
}

/// The bytes of a secret as the function sees them.
async fn read(cx: &Context, function: &Function, name: &str) -> Result<Option<Vec<u8>>, Stop> {
    let told = asked(cx, function, "secrets").await?;
    let files = told.get("files").and_then(Value::as_array);
    let file = files
        .into_iter()
        .flatten()
        .find(|file| name_of(file) == Some(name));
    let text = file.and_then(|file| file.get("base64")?.as_str());
    Ok(text.and_then(|text| STANDARD.decode(text).ok()))
}

/// The test function with these secrets, available.
async fn function_with(cx: &Context, secrets: &[&str]) -> Result<Function, Stop> {
    let mut deployment = cx.deployment(&cx.name());
    deployment.secrets = secrets.iter().map(|&name| name.to_owned()).collect();
    cx.deployed(&deployment).await
}

async fn a_secret_lives_and_goes(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let value = format!("hidden-{name}");
    let body = json!({"name": name, "value": value});
    let answer = tell(cx, "POST", &body).await?;
    cx.check("OFP-SEC-001", matches!(answer.status(), 200..=202), || {
        format!("the creation was answered with {}", answer.shown())
    });
    cx.check("OFP-SEC-002", answer.status() == 201, || answer.shown());
    if !answer.is_success() {
        return Err(Stop::Setup(format!("no secret: {}", answer.shown())));
    }
    let mut texts = vec![answer.text()];

    let (answer, entries) = list(cx).await?;
    texts.push(answer.text());
    let named = |entries: &Vec<Value>| entries.iter().all(|entry| name_of(entry).is_some());
    let readable = entries.as_ref().is_some_and(named);
    cx.require("OFP-SEC-003", readable, || {
        format!("GET {PATH} was answered with {}", answer.shown())
    })?;
    let entries = entries.unwrap_or_default();
    let names: Vec<&str> = entries.iter().filter_map(name_of).collect();
    cx.check("OFP-SEC-004", names.contains(&name.as_str()), || {
        format!("{name} was created and is not in {}", answer.shown())
    });
    cx.check("OFP-SEC-006", names.is_sorted(), || {
        format!("the names are, in this order: {}", names.join(", "))
    });
    let homeless = entries.iter().find(|entry| {
        let namespace = entry.get("namespace").and_then(Value::as_str);
        namespace.is_none_or(str::is_empty)
    });
    cx.check("OFP-SEC-005", homeless.is_none(), || {
        format!("an entry is {}", homeless.unwrap_or(&Value::Null))
    });

    let answer = tell(cx, "PUT", &body).await?;
    texts.push(answer.text());
    cx.check("OFP-SEC-013", matches!(answer.status(), 200 | 202), || {
        format!("the update was answered with {}", answer.shown())
    });
    texts.push(tell(cx, "POST", &body).await?.text());

    let answer = tell(cx, "DELETE", &json!({"name": name})).await?;
    texts.push(answer.text());
    cx.check("OFP-SEC-016", matches!(answer.status(), 200 | 202), || {
        format!("the deletion was answered with {}", answer.shown())
    });
    if answer.is_success() {
        // There may be none now.
        let (answer, entries) = list(cx).await?;
        cx.check("OFP-SEC-003", entries.is_some(), || {
            format!("after the deletion the list is {}", answer.shown())
        });
        let names = entries.iter().flatten().filter_map(name_of);
        let times = names.filter(|listed| *listed == name).count();
        cx.check("OFP-SEC-004", times == 0, || {
            format!("{name} was deleted and is still listed")
        });
    }
    let nameless = json!({"name": "", "value": value}).to_string();
    texts.push(cx.send(Request::post(PATH).json(nameless)).await?.text());
    let encoded = STANDARD.encode(&value);
    let told = texts
        .iter()
        .any(|text| text.contains(&value) || text.contains(&encoded));
    cx.check("OFP-SEC-007", !told, || {
        format!("an answer about {name}, or the list, holds its value")
    });
    Ok(())
}

async fn a_function_reads_exactly_its_secrets(cx: &Context) -> Result<(), Stop> {
    let names: Vec<String> = (0..6).map(|_| cx.name()).collect();
    let [text, binary, large, both, empty, other] = names.as_slice() else {
        return Err(Stop::Kit("there are not six names".to_owned()));
    };
    let every_byte: Vec<u8> = (0..=u8::MAX).rev().collect();
    let many = every_byte.repeat(256);
    let raw = |bytes: &[u8]| STANDARD.encode(bytes);
    let value = format!("  a=b\n{text}\n\n");
    create(cx, &json!({"name": text, "value": value})).await?;
    let bytes = json!({"name": binary, "rawValue": raw(&every_byte)});
    let long = json!({"name": large, "rawValue": raw(&many)});
    let two = json!({"name": both, "value": "trimmed", "rawValue": raw(b"trimmed \n")});
    let mut listed: Vec<&str> = vec![text];
    for (id, name, body) in [
        ("OFP-SEC-008", binary, bytes),
        ("OFP-SEC-008", large, long),
        ("OFP-SEC-009", both, two),
    ] {
        let answer = tell(cx, "POST", &body).await?;
        cx.check(id, answer.is_success(), || {
            format!(
                "a secret with `rawValue` was answered with {}",
                answer.shown()
            )
        });
        if answer.is_success() {
            listed.push(name);
        }
    }
    let none = json!({"name": empty, "value": ""});
    let kept = tell(cx, "POST", &none).await?;
    cx.check("OFP-SEC-010", kept.is_success(), || {
        format!("an empty value was answered with {}", kept.shown())
    });
    create(cx, &json!({"name": other, "value": "of somebody else"})).await?;

    if kept.is_success() {
        listed.push(empty);
    }
    let function = function_with(cx, &listed).await?;
    for (id, name, wanted) in [
        ("OFP-SEC-008", text, value.as_bytes()),
        ("OFP-SEC-008", binary, every_byte.as_slice()),
        ("OFP-SEC-008", large, many.as_slice()),
    ] {
        if !listed.contains(&name.as_str()) {
            continue;
        }
        let have = read(cx, &function, name).await?;
        cx.check(id, have.as_deref() == Some(wanted), || {
            differs(&have, wanted)
        });
    }
    if listed.contains(&both.as_str()) {
        let (have, wanted) = (read(cx, &function, both).await?, b"trimmed \n");
        // What stands behind it is another's matter.
        let begins = have.as_ref().is_some_and(|have| have.starts_with(wanted));
        cx.check("OFP-SEC-009", begins, || differs(&have, wanted));
    }
    if kept.is_success() {
        let have = read(cx, &function, empty).await?;
        cx.check("OFP-SEC-010", have.as_deref() == Some(b""), || {
            differs(&have, b"")
        });
    }
    let have = read(cx, &function, other).await?;
    cx.check("OFP-SEC-022", have.is_none(), || {
        format!("{other} is not among its secrets, and it can read it")
    });
    let status = cx.get(&function.status_path()).await?.text();
    let told = status.contains(value.trim()) || status.contains(&raw(&every_byte));
    cx.check("OFP-SEC-007", !told, || {
        "the status of the function holds the value of a secret".to_owned()
    });
    Ok(())
}

/// How a secret differs, without its bytes.
fn differs(have: &Option<Vec<u8>>, wanted: &[u8]) -> String {
    let Some(have) = have else {
        return format!(
            "the function has no such file; {} bytes were given",
            wanted.len()
        );
    };
    let same = have.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    format!(
        "{} bytes were given, the function reads {}, of which the first {same} are the same",
        wanted.len(),
        have.len()
    )
}

async fn a_secret_is_created_once(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    create(cx, &json!({"name": name, "value": "the first"})).await?;
    let answer = tell(cx, "POST", &json!({"name": name, "value": "the second"})).await?;
    let known = matches!(answer.status(), 200..=202 | 409);
    cx.check("OFP-SEC-011", known, || {
        format!("a second creation was answered with {}", answer.shown())
    });
    cx.check("OFP-SEC-012", answer.status() == 409, || {
        format!("a second creation was answered with {}", answer.shown())
    });
    let wanted: &[u8] = match answer.is_success() {
        true => b"the second",
        false => b"the first",
    };
    let function = function_with(cx, &[&name]).await?;
    let have = read(cx, &function, &name).await?;
    cx.check("OFP-SEC-011", have.as_deref() == Some(wanted), || {
        format!(
            "a second creation was answered with {}; {}",
            answer.status(),
            differs(&have, wanted)
        )
    });
    Ok(())
}

async fn what_does_not_exist_is_neither_changed_nor_deleted(cx: &Context) -> Result<(), Stop> {
    let name = cx.name();
    let answer = tell(cx, "PUT", &json!({"name": name, "value": "nothing"})).await?;
    let listed = is_listed(cx, &name).await?;
    cx.check("OFP-SEC-014", answer.status() == 404 && !listed, || {
        format!(
            "an update was answered with {}; it is listed now: {listed}",
            answer.shown()
        )
    });
    let gone = json!({"name": cx.name()});
    let answer = tell(cx, "DELETE", &gone).await?;
    cx.check("OFP-SEC-017", answer.status() == 404, || {
        format!("a deletion was answered with {}", answer.shown())
    });
    Ok(())
}

async fn a_changed_secret_is_read_after_a_deployment(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-SEC-015";
    let name = cx.name();
    create(cx, &json!({"name": name, "value": "as it was"})).await?;
    let before = function_with(cx, &[&name]).await?;
    let answer = tell(cx, "PUT", &json!({"name": name, "value": "as it is"})).await?;
    if !answer.is_success() {
        let text = format!("the update was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    let after = function_with(cx, &[&name]).await?;
    let have = read(cx, &after, &name).await?;
    cx.check(id, have.as_deref() == Some(b"as it is"), || {
        format!("deployed after the change: {}", differs(&have, b"as it is"))
    });

    let mut deployment = cx.deployment(&before.name);
    deployment.secrets = vec![name.clone()];
    deployment.labels = Some([("version".to_owned(), "2".to_owned())].into());
    let answer = cx.update(&deployment).await?;
    if !answer.is_success() {
        let text = format!("the update was answered with {}", answer.shown());
        return Err(Stop::Setup(text));
    }
    // The old replica may answer until the new one is there.
    let limit = cx.timeouts().ready;
    let request = Request::get(before.path("/do/secrets"));
    let encoded = STANDARD.encode("as it is");
    let new = |answer: &Answer| answer.text().contains(&encoded);
    let polled = cx.poll("the updated function to answer", limit, request, new);
    let changed = polled.await?.is_ok();
    cx.check(id, changed, || {
        format!("{limit:?} after its update the function still does not read the new value")
    });
    Ok(())
}

async fn a_secret_has_a_name(cx: &Context) -> Result<(), Stop> {
    for body in [
        json!({"value": "nameless"}),
        json!({"name": "", "value": "nameless"}),
        json!({"name": "  ", "value": "nameless"}),
    ] {
        let answer = tell(cx, "POST", &body).await?;
        cx.check("OFP-SEC-018", answer.status() == 400, || {
            format!("POST with {body} was answered with {}", answer.shown())
        });
    }
    Ok(())
}

async fn a_name_that_leads_out_changes_nothing(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-SEC-019";
    if !cx.declares(Profile::Secrets) {
        cx.not_applicable(id, "the provider does not declare `secrets`");
        return Ok(());
    }
    let (kept, other) = (cx.name(), cx.name());
    create(cx, &json!({"name": kept, "value": "kept inside"})).await?;
    let default = provider_types::DEFAULT_NAMESPACE;
    for method in ["POST", "PUT", "DELETE"] {
        for body in [
            json!({"name": format!("../{other}"), "value": "outside"}),
            json!({"name": format!("a/{other}"), "value": "outside"}),
            json!({"name": "..", "value": "outside"}),
            json!({"name": format!("../{default}/{kept}"), "value": "outside"}),
            json!({"name": format!("a/../{kept}"), "value": "outside"}),
            json!({"name": other, "namespace": "../x", "value": "outside"}),
            json!({"name": other, "namespace": "a/b", "value": "outside"}),
            json!({"name": other, "namespace": "..", "value": "outside"}),
            json!({"name": kept, "namespace": format!("../{default}"), "value": "outside"}),
        ] {
            let answer = tell(cx, method, &body).await?;
            cx.check(id, answer.is_refusal(), || {
                format!("{method} with {body} was answered with {}", answer.shown())
            });
        }
    }
    let (answer, entries) = list(cx).await?;
    let entries = entries.unwrap_or_default();
    let names: Vec<&str> = entries.iter().filter_map(name_of).collect();
    let made = names.iter().find(|name| name.contains(&other));
    cx.check(id, made.is_none() && names.contains(&&*kept), || {
        format!(
            "after creations, changes and deletions by names that lead out, the secret {kept} \
             should be there and none of {other}: {}",
            answer.shown()
        )
    });
    if names.contains(&&*kept) {
        let function = function_with(cx, &[&kept]).await?;
        let value = read(cx, &function, &kept).await?;
        cx.check(id, value.as_deref() == Some(b"kept inside"), || {
            let value = value.as_deref().map(String::from_utf8_lossy);
            format!(
                "after that the secret {kept}, \"kept inside\", reaches a function as {value:?}"
            )
        });
    }
    Ok(())
}

async fn a_function_needs_secrets_that_there_are(cx: &Context) -> Result<(), Stop> {
    let id = "OFP-SEC-020";
    let missing = cx.name();
    let refused = |answer: &Answer| answer.status() == 400 && answer.text().contains(&missing);
    let mut deployment = cx.deployment(&cx.name());
    deployment.secrets = vec![missing.clone()];
    let answer = cx.deploy(&deployment).await?;
    cx.check(id, refused(&answer), || {
        format!("the deployment was answered with {}", answer.shown())
    });
    let function = cx.function().await?;
    deployment.service.clone_from(&function.name);
    let answer = cx.update(&deployment).await?;
    cx.check(id, refused(&answer), || {
        format!("the update was answered with {}", answer.shown())
    });
    Ok(())
}

async fn of_requests_at_once_one_creates(cx: &Context) -> Result<(), Stop> {
    let body = json!({"name": cx.name(), "value": "at once"});
    let answers = together((0..8).map(|_| tell(cx, "POST", &body))).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
    let statuses: Vec<u16> = answers.iter().map(Answer::status).collect();
    if statuses.iter().all(|status| matches!(status, 200..=202)) {
        cx.not_applicable("OFP-SEC-021", "an existing secret is replaced by a POST");
        return Ok(());
    }
    let created = answers.iter().filter(|one| one.is_success()).count();
    let refused = answers.iter().filter(|one| one.is_refusal()).count();
    cx.check("OFP-SEC-021", created == 1 && refused == 7, || {
        format!("8 requests at once were answered with {statuses:?}")
    });
    Ok(())
}
