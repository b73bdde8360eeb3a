//! What is done to a back-end so that it is as the stack says.

use std::error::Error as _;
use std::sync::Arc;

use provider_stack::{Applier, Change, Step};

use crate::backend::Backend;
use crate::files::Files;

/// Applies the files; gives what is said of each function.
async fn apply(applier: &mut Applier, files: &Files) -> Vec<String> {
    let stack = files.load().unwrap_or_else(|error| panic!("{error}"));
    let steps = applier.apply(&stack).await;
    steps.iter().map(|step| said(files, step)).collect()
}

fn said(files: &Files, step: &Step) -> String {
    let said = match &step.outcome {
        Ok(change) => change.to_string(),
        Err(problem) => match problem.source() {
            Some(source) => format!("{}: {source}", files.without_directory(problem)),
            None => files.without_directory(problem),
        },
    };
    format!("{}: {said}", step.function.name)
}

fn two() -> (Files, Arc<Backend>) {
    let files = Files::new();
    files.functions("  a:\n    image: i\n  b:\n    image: i\n");
    (files, Arc::default())
}

#[tokio::test]
async fn what_is_missing_is_deployed_and_what_differs_updated() {
    let (files, backend) = two();
    let said = apply(&mut backend.applier(), &files).await;
    assert_eq!(said, ["a: deployed", "b: deployed"]);
    assert_eq!(
        backend.asked(),
        ["deploy a.openfaas-fn", "deploy b.openfaas-fn"]
    );

    // A provider that was started again knows nothing of before.
    assert_eq!(
        apply(&mut backend.applier(), &files).await,
        ["a: unchanged", "b: unchanged"]
    );
    assert!(backend.asked().is_empty());

    files.functions("  a:\n    image: i\n    fprocess: cat\n  b:\n    image: i\n");
    assert_eq!(
        apply(&mut backend.applier(), &files).await,
        ["a: updated", "b: unchanged"]
    );
    assert_eq!(backend.asked(), ["update a.openfaas-fn"]);
}

#[tokio::test]
async fn only_what_differs_from_the_last_time_is_touched() {
    let (files, backend) = two();
    let mut applier = backend.applier();
    apply(&mut applier, &files).await;
    backend.asked();
    // Somebody deployed another one; that is none of the stack's business before it changes.
    backend.change(|functions| {
        functions
            .values_mut()
            .for_each(|it| it.image = "x".to_owned())
    });
    assert!(apply(&mut applier, &files).await.is_empty());
    files.functions("  a:\n    image: j\n  b:\n    image: i\n");
    assert_eq!(apply(&mut applier, &files).await, ["a: updated"]);
    assert_eq!(backend.asked(), ["update a.openfaas-fn"]);
}

#[tokio::test]
async fn a_function_that_is_no_longer_in_its_file_goes_and_no_other_one() {
    let (files, backend) = two();
    let mut applier = backend.applier();
    apply(&mut applier, &files).await;
    let other = Files::new();
    other.functions("  c:\n    image: i\n");
    apply(&mut backend.applier(), &other).await;
    backend.change(|functions| {
        let mut foreign = functions.values().next().unwrap().clone();
        foreign.function =
            provider_types::FunctionRef::parse_dotted("z", &Default::default()).unwrap();
        foreign.annotations.clear();
        functions.insert(foreign.function.clone(), foreign);
    });
    backend.asked();

    files.functions("  a:\n    image: i\n");
    assert_eq!(apply(&mut applier, &files).await, ["b: removed"]);
    assert_eq!(backend.asked(), ["delete b.openfaas-fn"]);

    // The same after a start, when nothing is remembered.
    files.functions("  d:\n    image: i\n");
    assert_eq!(
        apply(&mut backend.applier(), &files).await,
        ["a: removed", "d: deployed"]
    );
}

#[tokio::test]
async fn one_that_is_deployed_anew_by_somebody_else_is_theirs() {
    let (files, backend) = two();
    let mut applier = backend.applier();
    apply(&mut applier, &files).await;
    backend.change(|functions| functions.values_mut().for_each(|it| it.annotations.clear()));
    files.functions("  a:\n    image: i\n");
    assert!(apply(&mut applier, &files).await.is_empty());
}

#[tokio::test]
async fn one_that_fails_does_not_stop_the_others_and_is_tried_again() {
    let (files, backend) = two();
    let mut applier = backend.applier();
    backend.refuse(Some("a"));
    let failed = "a: stack.yaml:5:3: function a.openfaas-fn could not be deployed: no such program";
    assert_eq!(apply(&mut applier, &files).await, [failed, "b: deployed"]);
    backend.asked();
    // The same is not said again, but it is tried.
    assert!(apply(&mut applier, &files).await.is_empty());
    assert_eq!(backend.asked(), ["deploy a.openfaas-fn"]);
    backend.refuse(None);
    assert_eq!(apply(&mut applier, &files).await, ["a: deployed"]);
    assert!(apply(&mut applier, &files).await.is_empty());
}

#[tokio::test]
async fn an_edit_that_failed_and_was_taken_back_is_told_again_when_it_fails_again() {
    let (files, backend) = two();
    let mut applier = backend.applier();
    apply(&mut applier, &files).await;
    let edited = "  a:\n    image: j\n  b:\n    image: i\n";
    for _ in 0..2 {
        files.functions(edited);
        backend.refuse(Some("a"));
        let said = apply(&mut applier, &files).await;
        assert!(said[0].ends_with("no such program"), "{said:?}");
        files.functions(&edited.replace('j', "i"));
        backend.refuse(None);
        assert_eq!(apply(&mut applier, &files).await, ["a: updated"]);
    }
}

#[tokio::test]
async fn a_new_revision_is_deployed_though_nothing_else_is_new() {
    let (files, backend) = two();
    let mut applier = backend.applier();
    apply(&mut applier, &files).await;
    let mut stack = files.load().unwrap();
    stack.functions[1].revision = 1;
    backend.asked();
    backend.refuse(Some("b"));
    let steps = applier.apply(&stack).await;
    assert_eq!(steps.len(), 1);
    assert!(steps[0].outcome.is_err());
    // What runs is not of this revision, whatever its specification.
    backend.refuse(None);
    let steps = applier.apply(&stack).await;
    assert_eq!(*steps[0].outcome.as_ref().unwrap(), Change::Updated);
    assert_eq!(steps[0].warnings, ["as you like"]);
    assert_eq!(backend.asked(), ["update b.openfaas-fn"; 2]);
}

#[tokio::test]
async fn secrets_are_stored_first_and_a_new_value_deploys_who_reads_it() {
    let files = Files::new();
    files.functions(
        "  a:\n    image: i\n    secrets: [key]\n  b:\n    image: i\n    secrets: [key]\n  c:\n    \
         image: i\n",
    );
    files.write(".secrets/key", "one");
    let backend = Arc::<Backend>::default();
    let mut applier = backend.applier();
    apply(&mut applier, &files).await;
    assert_eq!(backend.secret("key").unwrap(), b"one");
    assert!(backend.asked().contains(&"create secret key".to_owned()));

    files.write(".secrets/key", "two");
    assert_eq!(
        apply(&mut applier, &files).await,
        ["a: updated", "b: updated"]
    );
    assert_eq!(backend.secret("key").unwrap(), b"two");
    assert_eq!(
        backend.asked(),
        [
            "update a.openfaas-fn",
            "update b.openfaas-fn",
            "update secret key"
        ]
    );
    assert!(apply(&mut applier, &files).await.is_empty());
}

#[tokio::test]
async fn a_secret_without_a_file_has_to_be_there() {
    let files = Files::new();
    files.functions("  a:\n    image: i\n    secrets:\n    - key\n  b:\n    image: i\n");
    let backend = Arc::<Backend>::default();
    let mut applier = backend.applier();
    let missing = "a: stack.yaml:8:7: secret \"key\" does not exist in openfaas-fn: write its value \
                   to .secrets/key";
    let said = apply(&mut applier, &files).await;
    assert_eq!(
        said[0].replace(&format!("{}/", files.directory().display()), ""),
        missing
    );
    assert_eq!(said[1], "b: deployed");

    files.write(".secrets/key", "x");
    assert_eq!(apply(&mut applier, &files).await, ["a: deployed"]);
    std::fs::remove_file(files.path(".secrets/key")).unwrap();
    assert_eq!(
        apply(&mut backend.applier(), &files).await,
        ["a: unchanged", "b: unchanged"]
    );
}

#[tokio::test]
async fn namespaces_that_are_named_are_made() {
    let files = Files::new();
    files.functions("  a:\n    image: i\n    namespace: dev\n");
    let backend = Arc::<Backend>::default();
    apply(&mut backend.applier(), &files).await;
    assert_eq!(backend.asked(), ["create namespace dev", "deploy a.dev"]);
    // And functions are removed from namespaces that the file no longer names.
    files.functions("  b:\n    image: i\n");
    let said = apply(&mut backend.applier(), &files).await;
    assert_eq!(said, ["a: removed", "b: deployed"]);
}
