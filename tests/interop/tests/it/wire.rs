//! The wire types against those of the real `github.com/openfaas/faas-provider` module.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use provider_types::wire::{self, *};

use crate::go;
use crate::samples::{self, Visit};

/// Has Go read bodies, each with the name of its type there, and write them again.
fn reread(bodies: &[(String, String)]) -> Vec<String> {
    let input: String = bodies
        .iter()
        .map(|(name, body)| format!("{name} {body}\n"))
        .collect();
    let output = go::run(Command::new(go::wire()).arg("echo"), input);
    let lines: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), bodies.len());
    lines
}

#[track_caller]
fn read_as_written(bodies: &[(String, String)]) {
    for ((name, ours), go) in bodies.iter().zip(reread(bodies)) {
        assert_eq!(*ours, go, "Go read another {name} than we wrote");
    }
}

#[test]
fn golden_files_are_what_go_writes_today() {
    let golden = go::root().join("crates/provider-types/tests/golden");
    go::run(
        Command::new(go::wire()).arg("check").arg(golden),
        String::new(),
    );
}

#[test]
fn go_reads_what_we_write() {
    struct Collect(Vec<(String, String)>);

    impl Visit for Collect {
        fn visit<T: Wire + PartialEq + Debug>(&mut self, _: &str, go: &str, value: T) {
            self.0.push((go.to_owned(), wire::to_string(&value)));
        }
    }

    let mut bodies = Collect(Vec::new());
    samples::each(&mut bodies);
    read_as_written(&bodies.0);
}

#[test]
fn go_refuses_what_is_no_body() {
    let broken = [("Secret".to_owned(), r#"{"rawValue":"!"}"#.to_owned())];
    let answers = reread(&broken);
    assert!(answers.iter().all(|answer| answer.starts_with("error: ")));
}

/// Any characters, with those that are escaped more often than chance would have them.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        any::<char>(),
        prop::sample::select(vec!['<', '&', '"', '\\', '\u{2028}', '\0', 'é', 'a'])
    ];
    vec(character, 0..8).prop_map(String::from_iter)
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..4)
}

fn list() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}

fn time() -> impl Strategy<Value = Option<SystemTime>> {
    let moment = (0_u64..253_402_300_800, 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| UNIX_EPOCH + Duration::new(seconds, nanos));
    proptest::option::of(moment)
}

fn resources() -> impl Strategy<Value = Option<FunctionResources>> {
    let resources = (text(), text()).prop_map(|(memory, cpu)| FunctionResources::new(memory, cpu));
    proptest::option::of(resources)
}

fn deployment() -> impl Strategy<Value = FunctionDeployment> {
    let maps = (
        map(),
        proptest::option::of(map()),
        proptest::option::of(map()),
    );
    let lists = (list(), list());
    let limits = (resources(), resources(), any::<bool>());
    (text(), text(), text(), maps, lists, limits).prop_map(
        |(service, image, namespace, maps, lists, limits)| {
            let mut deployment = FunctionDeployment::new(service, image);
            deployment.namespace = namespace;
            (
                deployment.env_vars,
                deployment.labels,
                deployment.annotations,
            ) = maps;
            (deployment.constraints, deployment.secrets) = lists;
            (
                deployment.limits,
                deployment.requests,
                deployment.read_only_root_filesystem,
            ) = limits;
            deployment
        },
    )
}

fn status() -> impl Strategy<Value = FunctionStatus> {
    let float =
        proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL;
    let usage =
        proptest::option::of((float, float).prop_map(|(cpu, ram)| FunctionUsage::new(cpu, ram)));
    (text(), map(), map(), float, any::<u64>(), time(), usage).prop_map(
        |(name, labels, annotations, count, replicas, created_at, usage)| {
            let mut status = FunctionStatus::default();
            status.name = name;
            status.labels = labels;
            status.annotations = annotations;
            status.invocation_count = count;
            status.replicas = replicas;
            status.created_at = created_at;
            status.usage = usage;
            status
        },
    )
}

fn queued() -> impl Strategy<Value = QueueRequest> {
    (
        text(),
        btree_map(text(), list(), 0..3),
        vec(any::<u8>(), 0..20),
        text(),
    )
        .prop_map(|(function, header, body, path)| {
            let mut queued = QueueRequest::new("POST", function);
            queued.header = header;
            queued.body = body;
            queued.path = path;
            queued
        })
}

#[test]
fn go_reads_whatever_we_write() {
    const EACH: usize = 500;
    let mut runner = TestRunner::deterministic();
    let mut bodies = Vec::new();
    for _ in 0..EACH {
        let deployment = deployment().new_tree(&mut runner).unwrap().current();
        bodies.push((
            "FunctionDeployment".to_owned(),
            wire::to_string(&deployment),
        ));
        let status = status().new_tree(&mut runner).unwrap().current();
        bodies.push(("FunctionStatus".to_owned(), wire::to_string(&status)));
        let queued = queued().new_tree(&mut runner).unwrap().current();
        bodies.push(("QueueRequest".to_owned(), wire::to_string(&queued)));
    }
    read_as_written(&bodies);
}
