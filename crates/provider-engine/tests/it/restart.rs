//! What survives a restart, and what is refused at the start.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use provider_engine::{Engine, EngineConfig, EngineError};
use provider_types::{
    CallContext, CreateNamespace, ListSecrets, Namespace, NamespaceStore, SecretName, SecretStore,
};

use crate::fake::{Bench, Fake, Shared, function, spec, with_env};

#[tokio::test(start_paused = true)]
async fn what_was_deployed_runs_again_as_it_was() {
    let bench = Bench::new().await;
    bench.secret("key", b"k\0y").await;
    let mut figlet = with_env(spec("figlet", "ready"), "A", "1=2");
    figlet.secrets = vec![SecretName::new("key").unwrap()];
    bench.deploy(figlet).await.unwrap();
    bench.scale("figlet", 3).await.unwrap();
    bench.deploy(spec("zero", "ready:1")).await.unwrap();
    bench.scale("zero", 0).await.unwrap();
    bench.deploy(spec("gone", "ready")).await.unwrap();
    bench.delete("gone").await.unwrap();
    bench.available("figlet", 3).await;
    let before = bench.list().await;

    let bench = bench.restart().await;
    bench.available("figlet", 3).await;
    let mut after = bench.list().await;
    for status in &mut after {
        // What was prepared once is prepared again, when it is to run.
        status
            .annotations
            .insert("dev.provider.runtime".to_owned(), "fake".to_owned());
    }
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].replicas, 0);
    bench.call("figlet").await.unwrap();
    let started = bench.fake.starts_of("ready");
    assert_eq!(started[0].secrets[0].1, b"k\0y");
}

#[tokio::test(start_paused = true)]
async fn secrets_and_namespaces_survive() {
    let bench = Bench::new().await;
    bench.secret("key", b"v").await;
    let staging = Namespace::new("staging").unwrap();
    let labels = [("team".to_owned(), "a".to_owned())].into();
    let request = CreateNamespace::new(CallContext::default(), staging.clone(), labels, [].into());
    bench.engine.create_namespace(request).await.unwrap();
    let bench = bench.restart().await;
    let list = ListSecrets::new(CallContext::default(), Namespace::default());
    assert_eq!(
        bench.engine.list_secrets(list).await.unwrap()[0].as_str(),
        "key"
    );
    let get = provider_types::GetNamespace::new(CallContext::default(), staging);
    assert_eq!(
        bench.engine.get_namespace(get).await.unwrap().labels["team"],
        "a"
    );
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_an_engine_that_just_vanished() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    let Bench { engine, dir, .. } = bench;
    drop(engine);
    let mut config = EngineConfig::new(dir.path().join("state"));
    config.seed = 2;
    // The tasks of the first one end by themselves, and with them its hold on the directory.
    let engine = loop {
        let fake = Arc::new(Shared(Arc::new(Fake::default())));
        match Engine::open(config.clone(), fake).await {
            Ok(engine) => break engine,
            Err(EngineError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(engine.resolver().table().get(&function("f")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_an_update_ends_it_one_way_or_the_other() {
    let bench = Bench::new().await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.update(spec("f", "ready:5000")).await.unwrap();
    bench.deploy(spec("g", "ready")).await.unwrap();
    bench.update(spec("g", "silent")).await.unwrap();
    let bench = bench.restart().await;
    bench.available("f", 1).await;
    assert_eq!(bench.status("f").await.unwrap().image, "ready:5000");
    // The one that never gets ready gives way to the version before it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.available("g", 1).await;
    assert_eq!(bench.status("g").await.unwrap().image, "ready");
    let bench = bench.restart().await;
    assert_eq!(bench.status("f").await.unwrap().image, "ready:5000");
    assert_eq!(bench.status("g").await.unwrap().image, "ready");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_any_more_says_so_and_the_rest_runs() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let bench = Bench::on(Arc::clone(&dir), Fake::default(), |_| {}).await;
    bench.deploy(spec("f", "ready")).await.unwrap();
    bench.deploy(spec("g", "ready:1")).await.unwrap();
    bench.engine.shutdown(Duration::from_secs(5)).await;
    drop(bench);
    let mut fake = Fake::default();
    fake.vanished = Some("ready".to_owned());
    let bench = Bench::on(dir, fake, |_| {}).await;
    bench.available("g", 1).await;
    let status = bench.status("f").await.unwrap();
    assert_eq!(
        status.annotations[provider_engine::LAST_ERROR_ANNOTATION],
        "there is no such program"
    );
    let Err(provider_types::ResolveError::NotReady { reason, .. }) = bench.call("f").await else {
        panic!("it cannot run");
    };
    assert_eq!(
        reason.as_deref(),
        Some("it does not start: there is no such program")
    );
}

#[tokio::test(start_paused = true)]
async fn instances_from_before_are_ended_before_new_ones_start() {
    let fake = Fake::default();
    fake.leave_over("old-1", &function("f"));
    let bench = Bench::with(fake, |_| {}).await;
    bench
        .until("its end", |fake| fake.running().is_empty())
        .await;
    assert_eq!(bench.fake.stops()[0].0.as_str(), "old-1");
}

#[tokio::test]
async fn a_missing_directory_is_made_for_its_owner_only() {
    let bench = Bench::new().await;
    let state = bench.dir.path().join("state");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("state.redb")), 0o600);
    assert_eq!(mode(&state.join("lock")), 0o600);
}

#[tokio::test]
async fn a_second_engine_on_the_same_directory_is_refused_by_name() {
    let bench = Bench::new().await;
    let config = EngineConfig::new(bench.dir.path().join("state"));
    let fake = Arc::new(Shared(Arc::new(Fake::default())));
    let error = Engine::open(config, fake).await.unwrap_err();
    let words = error.to_string();
    assert!(matches!(error, EngineError::InUse { .. }), "{error:?}");
    assert!(
        words.contains(&format!("process {}", std::process::id())),
        "{words}"
    );
}

#[tokio::test]
async fn a_state_of_a_newer_version_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    let database = redb::Database::create(&path).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(meta).unwrap().insert("schema", 99).unwrap();
    txn.commit().unwrap();
    drop(database);

    let open = || async {
        let fake = Arc::new(Shared(Arc::new(Fake::default())));
        Engine::open(EngineConfig::new(dir.path()), fake).await
    };
    for _ in 0..2 {
        let error = open().await.unwrap_err();
        assert!(
            matches!(error, EngineError::Newer { found: 99, .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("schema 99"), "{error}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_refused_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let fake = Arc::new(Shared(Arc::new(Fake::default())));
    let error = Engine::open(EngineConfig::new(file.join("state")), fake)
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::StateDir { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());

    std::fs::write(
        dir.path().join("state.redb"),
        "this is no database, only text",
    )
    .unwrap();
    let fake = Arc::new(Shared(Arc::new(Fake::default())));
    let error = Engine::open(EngineConfig::new(dir.path()), fake)
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Damaged { .. }), "{error:?}");
    assert_eq!(
        std::fs::read(dir.path().join("state.redb")).unwrap(),
        b"this is no database, only text"
    );
}
