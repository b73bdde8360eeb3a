//! Disks that fail or are full.

use super::bench::{Disk, Trouble};
use super::*;

#[test]
fn a_full_disk_is_an_error_in_words_and_writes_work_again_once_there_is_space() {
    let disk = Disk::default();
    let store = disk.open();
    store.put_function(record("before", &[])).unwrap();
    disk.set(Some(Trouble::Full));
    let mut n = 0;
    let error = loop {
        n += 1;
        let mut big = record(&format!("f{n}"), &[]);
        Arc::make_mut(&mut big.spec).image = "x".repeat(4_000);
        if let Err(error) = store.put_function(big) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(
        error.message(),
        "the state could not be written: no space is left on its disk"
    );
    assert_eq!(store.functions().len(), n);
    disk.set(None);
    let again = store.put_function(record("again", &[])).unwrap();
    assert_eq!(again, n as u64 + 1);
    drop(store);
    let store = disk.open();
    let names: Vec<String> = store
        .functions()
        .iter()
        .map(|function| function.spec.function.name.to_string())
        .collect();
    assert_eq!(names.len(), n + 1);
    assert!(names.contains(&"again".to_owned()));
}

#[test]
fn each_trouble_is_named_and_over_when_it_is_over() {
    for (trouble, words) in [
        (Trouble::ReadOnly, "its disk is read-only"),
        (Trouble::SyncFails, "the state could not be written to disk"),
        (Trouble::Broken, "the state could not be written to disk"),
    ] {
        let disk = Disk::default();
        let store = disk.open();
        store.put_function(record("kept", &[])).unwrap();
        disk.set(Some(trouble));
        for _ in 0..3 {
            let error = store.put_function(record("f", &[])).unwrap_err();
            assert!(error.message().contains(words), "{trouble:?}: {error}");
            assert!(std::error::Error::source(&error).is_some());
        }
        let value = store.secret_names(&Namespace::default());
        assert_eq!(value.unwrap().len(), 0, "reading goes on");
        disk.set(None);
        store.put_function(record("g", &[])).unwrap();
        drop(store);
        assert_eq!(disk.open().functions().len(), 2, "{trouble:?}");
    }
}

#[test]
fn a_store_that_cannot_be_written_is_read_all_the_same() {
    let disk = Disk::default();
    disk.open().put_function(record("f", &[])).unwrap();
    disk.set(Some(Trouble::ReadOnly));
    let store = disk.open();
    assert_eq!(store.functions().len(), 1);
    store.put_function(record("g", &[])).unwrap_err();
    disk.set(None);
    store.put_function(record("g", &[])).unwrap();
}

#[test]
fn what_another_process_wrote_does_not_stay_where_the_store_was_taken_back_on_a_full_disk() {
    let disk = Disk::default();
    let store = disk.open();
    store.put_function(record("kept", &[])).unwrap();
    store.release();
    disk.open().put_function(record("theirs", &[])).unwrap();
    disk.set(Some(Trouble::Full));
    store.resume().unwrap_err();
    disk.set(None);
    store.put_function(record("ours", &[])).unwrap();
    let present = store.snapshot();
    drop(store);
    assert!(disk.open().snapshot() == present);
}

#[test]
fn hundreds_of_functions_need_a_few_mebibytes() {
    let disk = Disk::default();
    let store = disk.open();
    for n in 0..500 {
        let mut function = record(&format!("function-{n}"), &[]);
        let spec = Arc::make_mut(&mut function.spec);
        spec.labels.insert("label".to_owned(), "x".repeat(500));
        store.put_function(function).unwrap();
    }
    let size = disk.bytes().len();
    assert!(size < 3 * 1024 * 1024, "{size}");
}
