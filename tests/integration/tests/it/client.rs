//! The typed client against the provider: every call of the API.

use std::convert::Infallible;
use std::process::Stdio;
use std::time::Duration;

use futures_util::stream;
use provider_client::{Body, Client, Info, LogQuery};
use provider_types::wire::{FunctionDeployment, FunctionNamespace, Secret};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{PATIENCE, Place, Provider, binary, example};

#[tokio::test]
async fn functions_are_deployed_read_called_scaled_and_deleted() {
    let place = Place::new();
    let provider = place.start().await;
    let client = Client::builder(&provider.url).build().unwrap();
    client.health().await.unwrap();
    let info = client.info().await.unwrap();
    // As a gateway would say it: clients talk to this provider directly.
    assert!(matches!(&info, Info::Gateway(_)), "{info:?}");
    assert!(!info.provider().unwrap().provider.is_empty());

    let mut function = FunctionDeployment::new("f", "none");
    function.env_process = "cat".to_owned();
    assert!(client.function("f", None).await.unwrap_err().is_not_found());
    assert!(client.update(&function).await.unwrap_err().is_not_found());
    assert_eq!(client.apply(&function).await.unwrap().status, 202);
    let exists = client.deploy(&function).await.unwrap_err();
    assert!(exists.is_conflict(), "{exists}");
    assert_eq!(client.apply(&function).await.unwrap().status, 200);
    function.service = "no name".to_owned();
    let refused = client.deploy(&function).await.unwrap_err();
    assert_eq!(refused.status().unwrap(), 400, "{refused}");
    assert!(refused.to_string().contains("\"no name\""), "{refused}");

    let pieces = stream::iter(["one ", "two"].map(Ok::<_, Infallible>));
    let reply = client.invoke("f").body(Body::stream(pieces)).send();
    let reply = timeout(PATIENCE, reply).await.unwrap().unwrap();
    assert_eq!(reply.text().await.unwrap(), "one two");
    let absent = client.invoke("g").send().await.unwrap();
    assert_eq!(absent.status(), 404);
    assert!(absent.is_from_provider());
    let queued = client.invoke("f").send_async().await.unwrap_err();
    assert_eq!(queued.status().unwrap(), 501);

    client.scale("f", None, 2).await.unwrap();
    let scaled = async {
        while client.function("f", None).await.unwrap().available_replicas != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, scaled).await.expect("two replicas");
    let listed = client.functions(Some("openfaas-fn")).await.unwrap();
    assert_eq!((listed.len(), &*listed[0].name), (1, "f"));
    assert!(
        client
            .function_with_usage("f", None)
            .await
            .unwrap()
            .usage
            .is_some()
    );
    assert!(
        client
            .metrics()
            .await
            .unwrap()
            .contains("gateway_function_invocation_total")
    );

    client.delete_function("f", None).await.unwrap();
    assert!(
        client
            .delete_function("f", None)
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(client.functions(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn namespaces_and_secrets_are_kept() {
    let place = Place::new();
    let provider = place.start().await;
    let client = Client::builder(&provider.url).build().unwrap();
    let mut namespace = FunctionNamespace::new("dev");
    client.create_namespace(&namespace).await.unwrap();
    assert!(
        client
            .create_namespace(&namespace)
            .await
            .unwrap_err()
            .is_conflict()
    );
    namespace.annotations.insert("a".to_owned(), "b".to_owned());
    client.update_namespace(&namespace).await.unwrap();
    assert_eq!(client.namespace("dev").await.unwrap().annotations["a"], "b");
    assert!(
        client
            .namespaces()
            .await
            .unwrap()
            .contains(&"dev".to_owned())
    );

    let mut secret = Secret::new("s", "dev");
    secret.raw_value = vec![0, 1, 255];
    assert!(
        client
            .update_secret(&secret)
            .await
            .unwrap_err()
            .is_not_found()
    );
    client.create_secret(&secret).await.unwrap();
    assert!(
        client
            .create_secret(&secret)
            .await
            .unwrap_err()
            .is_conflict()
    );
    client.update_secret(&secret).await.unwrap();
    let listed = client.secrets(Some("dev")).await.unwrap();
    assert_eq!(listed, [Secret::new("s", "dev")]);
    assert!(client.secrets(None).await.unwrap().is_empty());

    client.delete_secret("s", Some("dev")).await.unwrap();
    assert!(
        client
            .delete_secret("s", Some("dev"))
            .await
            .unwrap_err()
            .is_not_found()
    );
    client.delete_namespace("dev").await.unwrap();
    assert!(client.namespace("dev").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_log_is_read_and_followed() {
    let place = Place::new();
    let provider = place.start().await;
    let client = Client::builder(&provider.url).build().unwrap();
    place.script(
        "talks",
        "#!/bin/sh\nread line\necho \"$line\" >&2\necho ok\n",
    );
    client
        .deploy(&FunctionDeployment::new("f", "talks"))
        .await
        .unwrap();
    let mut query = LogQuery::new("f");
    query.follow = true;
    let mut lines = client.logs(&query).await.unwrap();
    for said in ["one", "two"] {
        let reply = client
            .invoke("f")
            .body(format!("{said}\n"))
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 200);
        let heard = async {
            loop {
                let line = lines.next().await.unwrap().expect("the log ended");
                if line.text.ends_with(said) {
                    break line;
                }
            }
        };
        let line = timeout(PATIENCE, heard)
            .await
            .expect("the line did not come");
        assert_eq!((&*line.name, &*line.namespace), ("f", "openfaas-fn"));
    }
    query.follow = false;
    query.tail = Some(1);
    let mut last = client.logs(&query).await.unwrap();
    let last_line = last.next().await.unwrap().unwrap();
    assert!(!last_line.text.ends_with("one"), "{last_line:?}");
    assert!(last.next().await.unwrap().is_none());
    query.function = "g".to_owned();
    assert!(client.logs(&query).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn credentials_and_unix_sockets_are_used() {
    let place = Place::new();
    let secrets = place.path("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("basic-auth-user"), "admin").unwrap();
    std::fs::write(secrets.join("basic-auth-password"), "pass:word").unwrap();
    let socket = format!("unix:{}", place.text("p.sock"));
    for listen in ["127.0.0.1:0", &socket] {
        let mut command = Command::new(binary());
        command
            .args(["--ephemeral", "--listen", listen])
            .env("basic_auth", "true")
            .env("secret_mount_path", &secrets)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let provider = Provider::start(command).await;
        let client = Client::builder(&provider.url).basic_auth("admin", "pass:word");
        let client = client.build().unwrap();
        assert!(client.functions(None).await.unwrap().is_empty(), "{listen}");
        let anonymous = client.anonymous().functions(None).await.unwrap_err();
        assert!(anonymous.is_unauthorized(), "{listen}: {anonymous}");
    }
}

#[tokio::test]
async fn the_examples_of_the_client_do_what_they_say() {
    let place = Place::new();
    let provider = place.start().await;
    let run = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(example(name));
        command
            .arg(&provider.url)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().unwrap()
    };

    let deploy = run("deploy_and_invoke", &[]).wait_with_output();
    let said = timeout(PATIENCE, deploy).await.unwrap().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.status.success() && text.ends_with("200 OK: HELLO\n\n"),
        "{text}"
    );

    let client = Client::builder(&provider.url).build().unwrap();
    let mut function = FunctionDeployment::new("f", "none");
    function.env_process = "tee /dev/stderr".to_owned();
    client.deploy(&function).await.unwrap();
    let mut follow = run("follow_logs", &["f"]);
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();

    // What was sent comes back before the rest is.
    let mut streaming = run("stream_a_body", &["f"]);
    let mut input = streaming.stdin.take().unwrap();
    let mut output = BufReader::new(streaming.stdout.take().unwrap()).lines();
    for said in ["one", "two"] {
        input
            .write_all(format!("{said}\n").as_bytes())
            .await
            .unwrap();
        let heard = timeout(PATIENCE, output.next_line()).await.unwrap();
        assert_eq!(heard.unwrap().as_deref(), Some(said));
        let logged = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.ends_with(said) {
                    return;
                }
            }
            panic!("the log ended before {said}");
        });
        logged.await.unwrap();
    }
    drop(input);
    let ended = timeout(PATIENCE, streaming.wait()).await.unwrap();
    assert!(ended.unwrap().success());

    let absent = run("stream_a_body", &["g"]).wait_with_output();
    assert!(
        !timeout(PATIENCE, absent)
            .await
            .unwrap()
            .unwrap()
            .status
            .success()
    );
}
