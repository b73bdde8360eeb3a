//! What goes into a backup, what comes out, and which files are none.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use provider_types::wire::FunctionNamespace;
use provider_types::{FunctionRef, Namespace, SecretName};

use super::*;
use crate::store::{FunctionRecord, PreviousRecord, Store};

fn record(name: &str, replicas: u64) -> FunctionRecord {
    let function = FunctionRef::parse_dotted(name, &Namespace::default()).unwrap();
    FunctionRecord {
        generation: 0,
        created_at: UNIX_EPOCH,
        spec: Arc::new(FunctionSpec::new(function, "image")),
        replicas,
        previous: None,
    }
}

/// Fills a state directory.
fn fill(dir: &Path) -> Backup {
    let store = Store::open(&dir.join(STORE), Namespace::default()).unwrap();
    let staging = Namespace::new("staging").unwrap();
    let namespace = FunctionNamespace::new("staging");
    store
        .put_namespace(staging.clone(), namespace, true)
        .unwrap();
    let name = SecretName::new("key").unwrap();
    store.put_secret(staging, name, b"\0\xff\n", true).unwrap();
    let mut updating = record("f.staging", 3);
    updating.previous = Some(PreviousRecord {
        generation: 1,
        spec: record("f.staging", 1).spec,
        replicas: 1,
    });
    store.put_function(updating).unwrap();
    store.put_function(record("g", 0)).unwrap();
    Backup(store.snapshot())
}

fn bytes(backup: &Backup) -> Vec<u8> {
    let mut bytes = Vec::new();
    backup.write(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_taken_is_what_is_restored() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let filled = fill(from.path());
    let backup = Backup::of(from.path()).unwrap();
    assert!(backup == filled);
    assert_eq!(
        backup.to_string(),
        "2 functions, 1 secret, 1 namespace beside the default one"
    );
    let read = Backup::read(&*bytes(&backup)).unwrap();
    assert!(read == filled);
    let state = to.path().join("new/state");
    assert_eq!(read.restore(&state).unwrap(), None);
    assert!(Backup::of(&state).unwrap() == filled);
}

#[test]
fn what_was_there_before_a_restore_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let filled = fill(dir.path());
    let store = dir.path().join(STORE);
    for n in 1..3 {
        let before = std::fs::read(&store).unwrap();
        let kept = Backup(Desired::default())
            .restore(dir.path())
            .unwrap()
            .unwrap();
        assert!(
            kept.ends_with(format!("state.redb.before-restore-{n}")),
            "{kept:?}"
        );
        assert_eq!(std::fs::read(kept).unwrap(), before);
        assert!(Backup::of(dir.path()).unwrap() == Backup(Desired::default()));
    }
    // Also what could not be used any more.
    std::fs::write(&store, "damaged").unwrap();
    let kept = filled.restore(dir.path()).unwrap().unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), b"damaged");
    assert!(Backup::of(dir.path()).unwrap() == filled);
}

#[test]
fn a_directory_in_use_is_neither_restored_nor_read() {
    let dir = tempfile::tempdir().unwrap();
    let filled = fill(dir.path());
    let _provider = StateDir::open(dir.path()).unwrap();
    let before = std::fs::read(dir.path().join(STORE)).unwrap();
    let error = Backup(Desired::default()).restore(dir.path()).unwrap_err();
    assert!(matches!(error, EngineError::InUse { .. }), "{error:?}");
    let error = Backup::of(dir.path()).unwrap_err();
    assert!(matches!(error, EngineError::InUse { .. }), "{error:?}");
    assert_eq!(std::fs::read(dir.path().join(STORE)).unwrap(), before);
    drop(filled);
}

#[test]
fn where_there_is_no_state_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("none");
    let error = Backup::of(&state).unwrap_err();
    assert!(matches!(error, EngineError::NoState { .. }), "{error:?}");
    assert!(!state.exists());
}

#[test]
fn taking_a_backup_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let before = std::fs::read(dir.path().join(STORE)).unwrap();
    Backup::of(dir.path()).unwrap();
    assert_eq!(std::fs::read(dir.path().join(STORE)).unwrap(), before);
}

#[test]
fn every_changed_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let whole = bytes(&fill(dir.path()));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(Backup::read(&*damaged).is_err(), "byte {at}");
    }
    for len in 0..whole.len() {
        assert!(Backup::read(&whole[..len]).is_err(), "{len} bytes");
    }
    let mut longer = whole.clone();
    longer.extend(b"{}\n");
    assert!(Backup::read(&*longer).is_err());
}

/// A file of these lines with its checksum.
fn file(lines: &str) -> Vec<u8> {
    use sha2::Digest as _;
    let sum = sha2::Sha256::digest(lines);
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{lines}{{\"sha256\":\"{sum}\"}}\n").into_bytes()
}

#[test]
fn a_file_that_is_no_backup_is_refused_in_words() {
    const HEAD: &str = r#"{"backup":"provider-state","version":1,"generation":1,"namespaces":0,"secrets":1,"functions":0}"#;
    let said = |bytes: &[u8]| Backup::read(bytes).unwrap_err().to_string();
    let foreign = "this is no backup of a provider's state";
    assert_eq!(said(b""), foreign);
    assert_eq!(said(b"PK\x03\x04"), foreign);
    assert_eq!(
        said(&file("{\"backup\":\"songs\",\"version\":1}\n")),
        foreign
    );
    assert!(said(b"{\"backup\":\"provider-state\",\"version\":2}\n").contains("version 2"));
    assert!(said(HEAD.as_bytes()).contains("ends early"));
    let secret = r#"{"secret":{"namespace":"n","name":"s","value":"AA=="}}"#;
    Backup::read(&*file(&format!("{HEAD}\n{secret}\n"))).unwrap();
    assert_eq!(
        said(&file(&format!("{HEAD}\n"))),
        "the backup holds 0 functions, 0 secrets, 0 namespaces, and its first line says 0 \
         functions, 1 secrets, 0 namespaces"
    );
    for wrong in [
        "nothing",
        "{\"dog\":{}}",
        "{\"secret\":{\"namespace\":\"../n\",\"name\":\"s\",\"value\":\"\"}}",
    ] {
        let error = Backup::read(&*file(&format!("{HEAD}\n{wrong}\n"))).unwrap_err();
        assert_eq!(error.to_string(), "line 2 of the backup is wrong");
        assert!(std::error::Error::source(&error).is_some());
    }
}
