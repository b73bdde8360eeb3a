//! What is written is read back.

use std::path::Path;

use proptest::prelude::*;
use provider_types::wire::FunctionDeployment;
use provider_types::{NameRule, Namespace};

use super::*;
use crate::{Stack, StackOptions};

fn spec(deployment: FunctionDeployment) -> FunctionSpec {
    deployment
        .into_spec(&Namespace::default(), NameRule::DnsLabel)
        .unwrap()
}

fn read(text: &str) -> Vec<FunctionSpec> {
    let stack = Stack::parse(Path::new("/x/stack.yaml"), text, &StackOptions::default());
    let stack = stack.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(stack.warnings.is_empty(), "{:?}\n{text}", stack.warnings);
    let functions = stack.functions.into_iter().map(|function| function.spec);
    functions
        .map(|mut spec| {
            spec.annotations.remove(STACK_FILE_ANNOTATION).unwrap();
            spec
        })
        .collect()
}

fn full() -> FunctionSpec {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut deployment = FunctionDeployment::new("full", "ghcr.io/a/b:1");
    deployment.namespace = "dev".to_owned();
    deployment.env_process = "cat -n 'x'".to_owned();
    deployment.env_vars = [
        pair("A", "1"),
        pair("B", ""),
        pair("C", "${A} $$ \\\\ \\/\n"),
    ]
    .into();
    deployment.secrets = vec!["api-key".to_owned()];
    deployment.labels = Some([pair("com.openfaas.scale.min", "2")].into());
    deployment.annotations = Some(
        [
            pair("topic", "cron"),
            pair("schedule", "*/5 * * * *"),
            pair(STACK_FILE_ANNOTATION, "/x/stack.yaml"),
        ]
        .into(),
    );
    let mut limits = provider_types::wire::FunctionResources::new("128Mi", "0.5");
    limits.nvidia_gpu = "1".to_owned();
    deployment.limits = Some(limits);
    deployment.constraints = vec!["node.platform.os == linux".to_owned()];
    deployment.read_only_root_filesystem = true;
    spec(deployment)
}

#[test]
fn a_file_is_for_people_to_read() {
    let text = to_yaml(&[full()], &Namespace::default()).unwrap();
    assert_eq!(
        text,
        r#"version: 1.0
provider:
  name: openfaas
functions:
  full:
    namespace: dev
    image: ghcr.io/a/b:1
    fprocess: "cat -n 'x'"
    environment:
      A: "1"
      B: ""
      C: "$${A} $$$ \\\\\\\ \\\\/\n"
    secrets:
      - api-key
    labels:
      com.openfaas.scale.min: "2"
    annotations:
      schedule: "*/5 * * * *"
      topic: cron
    limits:
      memory: "128Mi"
      cpu: "0.5"
      nvidia.com/gpu: "1"
    constraints:
      - node.platform.os == linux
    readonly_root_filesystem: true
"#
    );
}

#[test]
fn everything_is_read_back() {
    let mut wanted = full();
    let text = to_yaml(std::slice::from_ref(&wanted), &Namespace::default()).unwrap();
    wanted.annotations.remove(STACK_FILE_ANNOTATION);
    assert_eq!(read(&text), [wanted]);
    assert_eq!(
        to_yaml(&[], &Namespace::default()).unwrap(),
        "version: 1.0\nprovider:\n  name: openfaas\nfunctions: {}\n"
    );
}

#[test]
fn one_name_in_two_namespaces_needs_two_files() {
    let of = |namespace: &str| {
        let mut deployment = FunctionDeployment::new("f", "i:1");
        deployment.namespace = namespace.to_owned();
        spec(deployment)
    };
    let both = [of("a"), of("b")];
    let error = to_yaml(&both, &Namespace::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("f.a and f.b"), "{error}");
    assert!(to_yaml(&both[1..], &Namespace::default()).is_ok());
}

#[test]
fn what_yaml_takes_for_something_else_is_quoted() {
    for text in [
        "<<", "a: b", "a:", "a #b", "- a", "null", "True", "no", "1.0", ".5", "0x1", "..", "~", "",
        " a", "a ", "---", "...",
    ] {
        let mut deployment = FunctionDeployment::new("f", "i:1");
        deployment.labels = Some([(text.to_owned(), text.to_owned())].into());
        let wanted = spec(deployment);
        let written = to_yaml(std::slice::from_ref(&wanted), &Namespace::default()).unwrap();
        assert_eq!(read(&written), [wanted], "{written}");
        assert!(
            written.contains(&format!("\"{text}\": \"{text}\"")),
            "{written}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_survives(
        values in proptest::collection::btree_map("[^=\0]{1,8}", "[^\0]{0,12}", 0..4),
        awkward in "[$\\\\/{}:# '\"\n\t~&*!|>%@`?<,\\[\\]-]{0,10}",
        process in "[ -~]{0,10}",
    ) {
        let mut deployment = FunctionDeployment::new("f", "i:1");
        deployment.env_vars = values.clone();
        deployment.env_vars.remove("fprocess");
        deployment.labels = Some(values);
        deployment.annotations = Some([(awkward.clone() + ".", awkward.clone())].into());
        deployment.constraints = vec![awkward.clone(), String::new()];
        deployment.env_process = process;
        let wanted = spec(deployment);
        let text = to_yaml(std::slice::from_ref(&wanted), &Namespace::default()).unwrap();
        prop_assert_eq!(&read(&text), &[wanted], "{}", text);
    }
}
