//! Secrets and namespaces.

use std::sync::atomic::Ordering;
use std::time::Duration;

use provider_types::{
    CallContext, CreateNamespace, CreateSecret, DeleteNamespace, DeleteSecret, ErrorKind,
    GetNamespace, ListNamespaces, ListSecrets, Namespace, NamespaceStore, ProviderError,
    SecretName, SecretStore, UpdateNamespace, UpdateSecret,
};

use crate::fake::{Bench, function, spec};

fn name(name: &str) -> SecretName {
    SecretName::new(name).unwrap()
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

impl Bench {
    async fn secrets(&self, within: &str) -> Result<Vec<String>, ProviderError> {
        let request = ListSecrets::new(CallContext::default(), namespace(within));
        let names = self.engine.list_secrets(request).await?;
        Ok(names.iter().map(ToString::to_string).collect())
    }

    async fn create(&self, within: &str, secret: &str) -> Result<(), ProviderError> {
        let context = CallContext::default();
        let request = CreateSecret::new(context, namespace(within), name(secret), b"1".to_vec());
        self.engine.create_secret(request).await.map(drop)
    }

    async fn change(&self, secret: &str, value: &[u8]) -> Result<(), ProviderError> {
        let context = CallContext::default();
        let within = Namespace::default();
        let request = UpdateSecret::new(context, within, name(secret), value.to_vec());
        self.engine.update_secret(request).await.map(drop)
    }

    async fn remove(&self, within: &str, secret: &str) -> Result<(), ProviderError> {
        let request = DeleteSecret::new(CallContext::default(), namespace(within), name(secret));
        self.engine.delete_secret(request).await.map(drop)
    }

    async fn make(&self, within: &str) -> Result<(), ProviderError> {
        let context = CallContext::default();
        let request = CreateNamespace::new(context, namespace(within), [].into(), [].into());
        self.engine.create_namespace(request).await.map(drop)
    }

    async fn unmake(&self, within: &str) -> Result<(), ProviderError> {
        let request = DeleteNamespace::new(CallContext::default(), namespace(within));
        self.engine.delete_namespace(request).await.map(drop)
    }

    async fn namespaces(&self) -> Vec<String> {
        let request = ListNamespaces::new(CallContext::default());
        let names = self.engine.list_namespaces(request).await.unwrap();
        names.iter().map(ToString::to_string).collect()
    }
}

fn kind(result: Result<(), ProviderError>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test(start_paused = true)]
async fn secrets_are_made_listed_and_removed_each_in_its_namespace() {
    let bench = Bench::new().await;
    bench.make("staging").await.unwrap();
    for secret in ["b", "a", "a.b"] {
        bench.create("openfaas-fn", secret).await.unwrap();
    }
    bench.create("staging", "a").await.unwrap();
    assert_eq!(
        bench.secrets("openfaas-fn").await.unwrap(),
        ["a", "a.b", "b"]
    );
    assert_eq!(bench.secrets("staging").await.unwrap(), ["a"]);

    assert_eq!(
        kind(bench.create("openfaas-fn", "a").await),
        ErrorKind::AlreadyExists
    );
    assert_eq!(kind(bench.change("none", b"x").await), ErrorKind::NotFound);
    assert_eq!(
        kind(bench.remove("openfaas-fn", "none").await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(bench.create("nowhere", "a").await),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        bench.secrets("nowhere").await.unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    bench.remove("openfaas-fn", "a").await.unwrap();
    assert_eq!(bench.secrets("openfaas-fn").await.unwrap(), ["a.b", "b"]);
    assert_eq!(bench.secrets("staging").await.unwrap(), ["a"]);
    // A refused write changed nothing.
    assert_eq!(kind(bench.change("none", b"x").await), ErrorKind::NotFound);
    assert_eq!(bench.secrets("openfaas-fn").await.unwrap(), ["a.b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_reaches_running_functions_and_those_that_start_later() {
    let bench = Bench::new().await;
    bench.secret("key", b"old").await;
    bench.secret("other", b"o").await;
    let mut user = spec("f", "ready");
    user.secrets = vec![name("key"), name("other")];
    bench.deploy(user).await.unwrap();
    bench.deploy(spec("g", "ready")).await.unwrap();
    assert_eq!(bench.fake.starts_of("ready")[0].secrets[0].1, b"old");

    bench.change("key", b"new").await.unwrap();
    let both = vec![
        (name("key"), b"new".to_vec()),
        (name("other"), b"o".to_vec()),
    ];
    assert_eq!(bench.fake.refreshed(), [(function("f"), both.clone())]);
    bench.scale("f", 2).await.unwrap();
    bench.available("f", 2).await;
    assert_eq!(bench.fake.starts_of("ready")[2].secrets, both);
}

#[tokio::test(start_paused = true)]
async fn secrets_that_change_at_once_all_reach_running_functions() {
    let bench = Bench::new().await;
    bench.secret("aa", b"old").await;
    bench.secret("bb", b"old").await;
    let mut user = spec("f", "ready");
    user.secrets = vec![name("aa"), name("bb")];
    bench.deploy(user).await.unwrap();

    let second = async {
        bench
            .until("the first is being shown", |fake| {
                fake.refreshes.load(Ordering::SeqCst) == 1
            })
            .await;
        bench.change("bb", b"new").await
    };
    let (first, second) = tokio::join!(bench.change("aa", b"new"), second);
    first.unwrap();
    second.unwrap();
    let shown = &bench.fake.starts_of("ready")[0].secrets;
    let both = [("aa", b"new"), ("bb", b"new")].map(|(key, value)| (name(key), value.to_vec()));
    assert_eq!(shown[..], both);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_changes_while_an_instance_starts_reaches_it() {
    let bench = Bench::new().await;
    bench.secret("key", b"old").await;
    let mut user = spec("f", "ready");
    user.secrets = vec![name("key")];
    // Its value is read before the runtime starts the instance, which takes five milliseconds.
    let (deployed, changed) = tokio::join!(bench.deploy(user), async {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        bench.change("key", b"new").await
    });
    deployed.unwrap();
    changed.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(bench.fake.starts_of("ready")[0].secrets[0].1, b"new");
}

#[tokio::test(start_paused = true)]
async fn a_secret_in_use_is_not_removed_and_its_users_are_named() {
    let bench = Bench::new().await;
    bench.make("staging").await.unwrap();
    bench.secret("key", b"1").await;
    bench.create("staging", "key").await.unwrap();
    for user in ["f", "g"] {
        let mut user = spec(user, "ready");
        user.secrets = vec![name("key")];
        bench.deploy(user).await.unwrap();
    }
    let error = bench.remove("openfaas-fn", "key").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.message().contains("f.openfaas-fn, g.openfaas-fn"),
        "{error}"
    );
    bench.remove("staging", "key").await.unwrap();
    bench.delete("f").await.unwrap();
    bench.update(spec("g", "ready")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    bench.remove("openfaas-fn", "key").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_default_namespace_is_always_there_and_comes_first() {
    let bench = Bench::new().await;
    bench.make("zz").await.unwrap();
    bench.make("aa").await.unwrap();
    assert_eq!(bench.namespaces().await, ["openfaas-fn", "aa", "zz"]);
    assert_eq!(
        kind(bench.make("openfaas-fn").await),
        ErrorKind::AlreadyExists
    );
    assert_eq!(kind(bench.make("aa").await), ErrorKind::AlreadyExists);
    let error = bench.unmake("openfaas-fn").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("default"), "{error}");
    let get = GetNamespace::new(CallContext::default(), Namespace::default());
    assert_eq!(
        bench.engine.get_namespace(get).await.unwrap().name,
        "openfaas-fn"
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespaces_labels_are_replaced_and_an_unknown_one_is_not_found() {
    let bench = Bench::new().await;
    bench.make("aa").await.unwrap();
    let one = |key: &str| [(key.to_owned(), "1".to_owned())].into();
    for key in ["first", "second"] {
        let context = CallContext::default();
        let request = UpdateNamespace::new(context, namespace("aa"), one(key), one("note"));
        bench.engine.update_namespace(request).await.unwrap();
    }
    let get = GetNamespace::new(CallContext::default(), namespace("aa"));
    let found = bench.engine.get_namespace(get).await.unwrap();
    assert_eq!(found.labels, one("second"));
    assert_eq!(found.annotations, one("note"));

    let context = CallContext::default();
    let request = UpdateNamespace::new(context, namespace("bb"), [].into(), [].into());
    let error = bench.engine.update_namespace(request).await.unwrap_err();
    assert_eq!(error.message(), "namespace bb not found");
    assert_eq!(bench.namespaces().await, ["openfaas-fn", "aa"]);
    assert_eq!(kind(bench.unmake("bb").await), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_holds_something_is_not_removed() {
    let bench = Bench::new().await;
    bench.make("aa").await.unwrap();
    bench.deploy(spec("f.aa", "ready")).await.unwrap();
    let error = bench.unmake("aa").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.message().contains("1 functions and 0 secrets"),
        "{error}"
    );
    bench.delete("f.aa").await.unwrap();
    bench.create("aa", "key").await.unwrap();
    assert_eq!(kind(bench.unmake("aa").await), ErrorKind::Conflict);
    bench.remove("aa", "key").await.unwrap();
    bench.unmake("aa").await.unwrap();
    assert_eq!(bench.namespaces().await, ["openfaas-fn"]);
    // And takes no function any more.
    assert_eq!(
        bench
            .deploy(spec("f.aa", "ready"))
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidArgument
    );
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_starts_while_a_secret_changes_sees_the_new_value() {
    let bench = Bench::new().await;
    bench.secret("key", b"old").await;
    let mut reading = spec("f", "ready");
    reading.secrets = vec![name("key")];
    bench.deploy(reading).await.unwrap();
    bench.scale("f", 2).await.unwrap();
    // A start takes five milliseconds: it was given the value before it. The refresh takes none, so
    // that it is over by then.
    bench.fake.refreshes.store(10, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(bench.fake.starts_of("ready").len(), 1);
    bench.change("key", b"new").await.unwrap();
    bench.available("f", 2).await;
    bench
        .until("the new value", |fake| {
            let starts = fake.starts_of("ready");
            starts.iter().all(|started| started.secrets[0].1 == b"new")
        })
        .await;
}
