//! Stores of other schemas.

use super::super::disk::{META, SCHEMA_KEY, altered};
use super::bench::Disk;
use super::*;

/// The store of a provider of schema 1, as it left it: two functions in two namespaces, a secret in
/// each, one function with 3 replicas and one with none.
const FIRST: &[u8] = include_bytes!("schema-1.redb");

fn check(store: &Store) {
    let functions = store.functions();
    let shown: Vec<_> = functions
        .iter()
        .map(|f| (f.spec.function.to_string(), f.replicas))
        .collect();
    assert_eq!(
        shown,
        [
            ("full.openfaas-fn".to_owned(), 3),
            ("f.staging".to_owned(), 0)
        ]
    );
    let full = &functions[0].spec;
    assert_eq!(full.env_vars["B"], "$x");
    assert_eq!(full.constraints, ["a=b"]);
    assert_eq!(full.annotations["topic"], "t");
    assert!(full.read_only_root_filesystem);
    let memory = full.limits.as_ref().unwrap().memory.as_ref().unwrap();
    assert_eq!(memory.to_string(), "128Mi");
    let staging = Namespace::new("staging").unwrap();
    let secrets = store.secret_values(&staging, &[secret("raw")]).unwrap();
    assert_eq!(secrets[0].1, [0, 1, 2, 0xff]);
    assert_eq!(store.namespace(&staging).unwrap().labels["team"], "a");
}

#[test]
fn the_first_schema_is_read_and_migrated_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    std::fs::write(&path, FIRST).unwrap();
    let open = || Store::open(&path, Namespace::default()).unwrap();
    let store = open();
    check(&store);
    let generation = store.put_function(record("new", &[])).unwrap();
    assert!(generation > 2, "generations go on: {generation}");
    store
        .remove_function(record("new", &[]).spec.function.clone())
        .unwrap();
    drop(store);
    check(&open());
    // What it was can be gone back to.
    let before = dir.path().join("state.redb.schema-1");
    let database = redb::Database::open(before).unwrap();
    let txn = redb::ReadableDatabase::begin_read(&database).unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    let meta = txn.open_table(meta).unwrap();
    let schema = redb::ReadableTable::get(&meta, "schema").unwrap();
    assert_eq!(schema.unwrap().value(), 1);
}

#[test]
fn power_that_is_lost_while_a_store_is_migrated_loses_nothing() {
    for seed in 0..5 {
        let disk = Disk::of(FIRST.to_vec());
        disk.watch(seed, 20);
        check(&disk.open());
        for image in disk.images() {
            check(&Disk::of(image.unwrap()).open());
        }
    }
}

#[test]
fn a_store_that_cannot_be_migrated_yet_is_read_and_migrated_later() {
    let disk = Disk::of(FIRST.to_vec());
    disk.set(Some(super::bench::Trouble::Full));
    let store = disk.open();
    check(&store);
    store.put_function(record("new", &[])).unwrap_err();
    disk.set(None);
    store.put_function(record("new", &[])).unwrap();
    drop(store);
    assert_eq!(disk.open().functions().len(), 3);
}

#[test]
fn a_newer_schema_is_refused_and_not_touched() {
    let disk = Disk::default();
    drop(disk.open());
    let database = altered(&disk.bytes(), |txn| {
        txn.open_table(META)?.insert(SCHEMA_KEY, 3)?;
        Ok(())
    });
    let disk = Disk::of(database.clone());
    let error = disk.try_open().unwrap_err();
    assert!(
        matches!(
            error,
            EngineError::Newer {
                found: 3,
                known: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(disk.bytes() == database);
}
