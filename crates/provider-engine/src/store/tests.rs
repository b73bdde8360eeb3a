//! What the store refuses whatever was checked before, and what it leaves alone.

/// A disk of its own for a test: it fills up, fails, and loses power.
mod bench;
/// Stores that are not what was written.
mod damage;
/// Loss of power.
mod power;
/// Stores of other schemas.
mod schemas;
/// Disks that fail or are full.
mod trouble;

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
        spec: Arc::new(spec),
        replicas: 1,
        previous: None,
    }
}

fn secret(name: &str) -> SecretName {
    SecretName::new(name).unwrap()
}

#[test]
fn a_function_is_not_written_without_what_it_refers_to() {
    let (_dir, store) = store();
    let error = store.put_function(record("f", &["key"])).unwrap_err();
    assert_eq!(error.message(), "unable to find secret: key");
    let error = store.put_function(record("f.staging", &[])).unwrap_err();
    assert!(
        error.message().contains("staging does not exist"),
        "{error}"
    );
    assert!(store.functions().is_empty());
}

#[test]
fn generations_rise_and_are_not_used_again() {
    let (_dir, store) = store();
    let first = store.put_function(record("f", &[])).unwrap();
    let second = store.put_function(record("g", &[])).unwrap();
    let function = record("g", &[]).spec.function.clone();
    store.remove_function(function).unwrap();
    let third = store.put_function(record("g", &[])).unwrap();
    assert!(first < second && second < third);
}

#[test]
fn the_end_of_an_update_does_not_undo_what_came_after() {
    let (_dir, store) = store();
    let old = store.put_function(record("f", &[])).unwrap();
    let mut newer = record("f", &[]);
    newer.replicas = 2;
    store.put_function(newer).unwrap();
    store.end_update(old, record("f", &[])).unwrap();
    assert_eq!(store.functions()[0].replicas, 2);

    store.end_update(old, record("gone", &[])).unwrap();
    assert_eq!(store.functions().len(), 1);
}

#[test]
fn a_secret_that_an_update_may_go_back_to_is_in_use() {
    let (_dir, store) = store();
    let within = Namespace::default();
    store
        .put_secret(within.clone(), secret("key"), b"1", true)
        .unwrap();
    let mut updating = record("f", &[]);
    updating.previous = Some(PreviousRecord {
        generation: 1,
        spec: record("f", &["key"]).spec,
        replicas: 1,
    });
    store.put_function(updating).unwrap();
    let error = store.remove_secret(within, secret("key")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn a_refused_change_leaves_no_trace() {
    let (_dir, store) = store();
    let within = Namespace::default();
    let put = |name: &str, new| store.put_secret(within.clone(), secret(name), b"1", new);
    put("key", true).unwrap();
    let before = store.snapshot();
    assert_eq!(
        put("key", true).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(put("other", false).unwrap_err().kind(), ErrorKind::NotFound);
    let gone = record("gone", &[]).spec.function.clone();
    assert_eq!(
        store.set_scale(gone, 3).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(store.snapshot() == before);
}

#[test]
fn changes_that_are_asked_for_at_once_see_each_other_and_share_a_sync() {
    let disk = bench::Disk::default();
    let store = disk.open();
    let syncs = disk.syncs();
    disk.hold();
    std::thread::scope(|scope| {
        let ask = |n: usize| {
            let store = &store;
            scope.spawn(move || store.put_function(record(&format!("f{n}"), &[])))
        };
        let asked: Vec<_> = (0..50).map(ask).collect();
        // One is writing, or all are to be written together.
        while lock(&store.waiting).len() < 49 {
            std::thread::yield_now();
        }
        disk.release();
        let generation = |asked: std::thread::ScopedJoinHandle<'_, Result<u64, _>>| {
            asked.join().unwrap().unwrap()
        };
        let generations: std::collections::BTreeSet<u64> =
            asked.into_iter().map(generation).collect();
        assert!(generations.into_iter().eq(1..=50));
    });
    let syncs = disk.syncs() - syncs;
    assert!(syncs < 20, "{syncs} syncs for 50 changes");
    drop(store);
    assert_eq!(disk.open().functions().len(), 50);
}
