//! Golden bytes, both ways.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use provider_types::wire::{self, *};
use serde_json::Value;

use crate::samples::{self, Visit};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(name: &str) -> String {
    let path = directory().join(format!("{name}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[derive(Default)]
struct Compare {
    names: BTreeSet<String>,
}

impl Visit for Compare {
    fn visit<T: Wire + PartialEq + Debug>(&mut self, name: &str, _: &str, value: T) {
        let go = golden(name);
        assert_eq!(
            wire::to_string(&value),
            go,
            "{name} is not written as Go does"
        );
        let read: T = wire::from_slice(go.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read, value, "{name} is not what Go wrote");
        assert!(self.names.insert(format!("{name}.json")));
    }
}

#[test]
fn every_type_is_written_as_go_writes_it_and_reads_back() {
    let mut compare = Compare::default();
    samples::each(&mut compare);

    // No golden file is left out; these three have tests of their own.
    for other in ["reading", "callback_urls", "deployment_null_maps"] {
        compare.names.insert(format!("{other}.json"));
    }
    let files: BTreeSet<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(compare.names, files);
}

#[test]
fn a_null_behind_a_pointer_is_no_map() {
    let read: FunctionDeployment =
        wire::from_slice(golden("deployment_null_maps").as_bytes()).unwrap();
    assert_eq!(read, FunctionDeployment::new("f", "i"));
}

#[test]
fn a_line_of_a_stream_ends_in_a_newline() {
    let line = wire::to_line(&Message::default());
    assert_eq!(line, format!("{}\n", golden("message_zero")).into_bytes());
}

#[test]
fn callback_urls_are_taken_apart_and_put_together_as_in_go() {
    let cases: Value = serde_json::from_str(&golden("callback_urls")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let url = CallbackUrl::parse(text).unwrap_or_else(|| panic!("{text} was refused"));
        let object: Value = serde_json::from_str(&wire::to_string(&url)).unwrap();
        assert_eq!(object, case["url"], "{text}");
        assert_eq!(url.to_string(), case["again"].as_str().unwrap(), "{text}");

        let body = serde_json::json!({ "CallbackUrl": text }).to_string();
        let queued: QueueRequest = wire::from_slice(body.as_bytes()).unwrap();
        assert_eq!(queued.callback_url, Some(url), "{text} in a body");
    }
}

/// What a body means: read as the type that Go calls `name`, and written again.
fn reread(name: &str, body: &[u8]) -> Result<String, WireError> {
    fn reread<T: Wire>(body: &[u8]) -> Result<String, WireError> {
        wire::from_slice::<T>(body).map(|value| wire::to_string(&value))
    }
    match name {
        "APIAccessEvent" => reread::<ApiAccessEvent>(body),
        "FunctionDeployment" => reread::<FunctionDeployment>(body),
        "FunctionNamespace" => reread::<FunctionNamespace>(body),
        "FunctionStatus" => reread::<FunctionStatus>(body),
        "FunctionStatusList" => reread::<Vec<FunctionStatus>>(body),
        "FunctionUsageEvent" => reread::<FunctionUsageEvent>(body),
        "Message" => reread::<Message>(body),
        "ProviderInfo" => reread::<ProviderInfo>(body),
        "QueueRequest" => reread::<QueueRequest>(body),
        "ScaleServiceRequest" => reread::<ScaleServiceRequest>(body),
        "Secret" => reread::<Secret>(body),
        other => panic!("no type {other}"),
    }
}

#[test]
fn bodies_are_read_as_leniently_and_as_strictly_as_in_go() {
    let cases: Value = serde_json::from_str(&golden("reading")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 150);
    let mut wrong = Vec::new();
    for case in cases {
        let body = match case["base64"].as_str() {
            Some(text) => STANDARD.decode(text).unwrap(),
            None => case["body"]
                .as_str()
                .unwrap_or_default()
                .as_bytes()
                .to_vec(),
        };
        let go = case["means"].as_str();
        let ours = reread(case["type"].as_str().unwrap(), &body);
        if ours.as_deref().ok() != go {
            wrong.push(format!(
                "{}: {:?}\n  go: {go:?}\n  ours: {ours:?}",
                case["type"],
                String::from_utf8_lossy(&body)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_names_the_field_and_what_would_be_right() {
    #[track_caller]
    fn says(name: &str, body: &str, message: &str) {
        assert_eq!(
            reread(name, body.as_bytes()).unwrap_err().to_string(),
            message
        );
    }
    says(
        "ScaleServiceRequest",
        r#"{"replicas":-1}"#,
        "field \"replicas\": expected an integer from 0 to 18446744073709551615, \
         not a negative number at line 1 column 14",
    );
    says(
        "FunctionDeployment",
        r#"{"LABELS":{"a":true}}"#,
        "field \"labels\": key \"a\": expected a string, not a boolean at line 1 column 19",
    );
    says(
        "FunctionDeployment",
        r#"{"secrets":["a",{}]}"#,
        "field \"secrets\": element 1: expected a string, not an object at line 1 column 18",
    );
    says(
        "FunctionDeployment",
        "[]",
        "expected an object, not an array at line 1 column 2",
    );
    says(
        "FunctionDeployment",
        "",
        "the body is empty: unexpected end of JSON input",
    );
    says(
        "FunctionDeployment",
        "{} x",
        "trailing characters at line 1 column 4",
    );
}

#[test]
fn a_secret_shows_up_in_no_error_and_no_debug() {
    for body in [
        r#"{"value":12345678}"#,
        r#"{"rawValue":"12345678!"}"#,
        r#"{"rawValue":{"12345678":"12345678"}}"#,
        r#"{"value":["12345678"]}"#,
        r#"{"value":12345678.5}"#,
        r#"{"value":"12345678"#,
    ] {
        let error = reread("Secret", body.as_bytes()).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains("12345678"), "{said}");
    }
    let secret: Secret =
        wire::from_slice(br#"{"name":"s","value":"12345678","rawValue":"MTIzNDU2Nzg="}"#).unwrap();
    let shown = format!("{secret:?}");
    assert!(
        shown.contains("<8 bytes>") && !shown.contains("12345678"),
        "{shown}"
    );
    assert!(!shown.contains("49, 50"), "{shown}");
    assert_eq!(secret.into_bytes(), b"12345678");
}

#[test]
fn a_hostile_key_does_not_fill_the_error() {
    let body = format!(r#"{{"labels":{{"{}":1}}}}"#, "k".repeat(100_000));
    let error = reread("FunctionDeployment", body.as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 300);
}

/// Go merges two objects of one key; contract 12.3.8 has the last one win.
#[test]
fn the_last_of_two_objects_wins() {
    let body = r#"{"labels":{"a":"1"},"labels":{"b":"2"},"limits":{"cpu":"1"},"limits":{}}"#;
    assert_eq!(
        reread("FunctionDeployment", body.as_bytes()).unwrap(),
        r#"{"service":"","image":"","labels":{"b":"2"},"limits":{}}"#
    );
}

proptest! {
    #[test]
    fn no_body_panics_and_what_is_read_reads_the_same_again(
        body in prop_oneof![
            vec(any::<u8>(), 0..64),
            "[\\[\\]{}:,\"a-zA-Z0-9.+ \\\\-]{0,64}".prop_map(String::into_bytes),
            r#"\{("(service|labels|secrets|limits)":("a"|null|\{("a":("b"|null))?\}|\["c"\]),?){0,3}\}"#
                .prop_map(String::into_bytes),
        ]
    ) {
        if let Ok(once) = reread("FunctionDeployment", &body) {
            prop_assert_eq!(reread("FunctionDeployment", once.as_bytes()).unwrap(), once);
        }
    }
}

#[test]
fn numbers_that_json_cannot_hold_are_left_out() {
    let usage = FunctionUsage::new(f64::NAN, f64::INFINITY);
    assert_eq!(wire::to_string(&usage), "{}");
}

#[test]
fn structs_work_with_any_serde_json() {
    let scale: ScaleServiceRequest =
        serde_json::from_str(r#"{"SERVICENAME":"<f>","replicas":2}"#).unwrap();
    assert_eq!(scale, ScaleServiceRequest::new("<f>", 2));
    assert_eq!(
        serde_json::to_string(&scale).unwrap(),
        r#"{"serviceName":"<f>","replicas":2}"#
    );
}
