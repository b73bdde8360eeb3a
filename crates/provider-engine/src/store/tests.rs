//! What the store refuses whatever was checked before, and what it leaves alone.

use std::time::UNIX_EPOCH;

use provider_types::FunctionSpec;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.redb"), Namespace::default()).unwrap();
    (dir, store)
}

fn record(name: &str, secrets: &[&str]) -> FunctionRecord {
    let function = FunctionRef::parse_dotted(name, &Namespace::default()).unwrap();
    let mut spec = FunctionSpec::new(function, "image");
    spec.secrets = secrets.iter().map(|name| secret(name)).collect();
    FunctionRecord {
        generation: 0,
        created_at: UNIX_EPOCH,
        spec,
        previous: None,
    }
}

fn secret(name: &str) -> SecretName {
    SecretName::new(name).unwrap()
}

#[test]
fn a_function_is_not_written_without_what_it_refers_to() {
    let (_dir, store) = store();
    let error = store.put_function(record("f", &["key"]), 1).unwrap_err();
    assert_eq!(error.message(), "unable to find secret: key");
    let error = store.put_function(record("f.staging", &[]), 1).unwrap_err();
    assert!(
        error.message().contains("staging does not exist"),
        "{error}"
    );
    assert!(store.functions().unwrap().is_empty());
}

#[test]
fn generations_rise_and_are_not_used_again() {
    let (_dir, store) = store();
    let first = store.put_function(record("f", &[]), 1).unwrap();
    let second = store.put_function(record("g", &[]), 1).unwrap();
    let function = record("g", &[]).spec.function;
    store.remove_function(&function).unwrap();
    let third = store.put_function(record("g", &[]), 1).unwrap();
    assert!(first < second && second < third);
}

#[test]
fn the_end_of_an_update_does_not_undo_what_came_after() {
    let (_dir, store) = store();
    let old = store.put_function(record("f", &[]), 1).unwrap();
    let mut newer = record("f", &[]);
    newer.spec.image = "newer".to_owned();
    store.put_function(newer, 2).unwrap();
    store.end_update(old, &record("f", &[]), 1).unwrap();
    let stored = store.functions().unwrap().remove(0);
    assert_eq!(
        (&*stored.function.spec.image, stored.replicas),
        ("newer", 2)
    );

    store.end_update(old, &record("gone", &[]), 1).unwrap();
    assert_eq!(store.functions().unwrap().len(), 1);
}

#[test]
fn a_secret_that_an_update_may_go_back_to_is_in_use() {
    let (_dir, store) = store();
    let within = Namespace::default();
    store
        .put_secret(&within, &secret("key"), b"1", true)
        .unwrap();
    let mut updating = record("f", &[]);
    updating.previous = Some(PreviousRecord {
        generation: 1,
        spec: record("f", &["key"]).spec,
        replicas: 1,
    });
    store.put_function(updating, 1).unwrap();
    let error = store.remove_secret(&within, &secret("key")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn a_broken_record_is_named() {
    let (_dir, store) = store();
    store
        .write(|txn| {
            let key = ("openfaas-fn", "f");
            txn.open_table(FUNCTIONS)?.insert(key, &b"{}"[..])?;
            Ok(())
        })
        .unwrap();
    let error = store.functions().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(
        cause.to_string(),
        "the record of function f.openfaas-fn is broken"
    );
}
