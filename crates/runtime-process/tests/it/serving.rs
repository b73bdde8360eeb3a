//! Modes, environment, secrets, readiness.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use provider_types::{
    Endpoint, EndpointAddress, ErrorKind, InstanceState, Runtime as _, SecretName,
};

use crate::support::{Bench, call, function, named, process, with};

/// A server that says where it listens and what it was asked, in what every Debian has.
pub(crate) const SERVER: &str = r#"#!/usr/bin/perl
use strict; use IO::Socket::INET;
$| = 1;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT},
    Listen => 5, ReuseAddr => 1) or die "cannot listen: $!";
print "listening on $ENV{PORT}\n";
while (my $client = $server->accept) {
    my $request = <$client>;
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    my $body = "port $ENV{PORT} $ENV{port}";
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($body)
        . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
"#;

#[tokio::test]
async fn a_program_per_call_gets_the_body_and_gives_the_reply() {
    let mut bench = Bench::new();
    for mode in ["streaming", "serializing"] {
        let it = bench.up(with(process("cat"), &[("mode", mode)])).await;
        assert_eq!(call(&it.endpoint, "hello").await, (200, "hello".to_owned()));
    }
}

#[tokio::test]
async fn a_program_gets_exactly_the_environment_that_is_promised() {
    let mut bench = Bench::with(|config| {
        for (name, value) in [("HOME", "/home/u"), ("TZ", "UTC"), ("LEAK", "1")] {
            config.environment.insert(name.to_owned(), value.to_owned());
        }
        config.gateway_url = "http://127.0.0.1:9".to_owned();
    });
    let it = bench.up(with(process("env"), &[("MY_VAR", "a b=c")])).await;
    let (status, text) = call(&it.endpoint, "").await;
    assert_eq!(status, 200);
    let all: BTreeMap<&str, &str> = text.lines().filter_map(|it| it.split_once('=')).collect();
    let ours: Vec<&str> = all
        .keys()
        .copied()
        .filter(|name| !name.starts_with("Http_"))
        .collect();
    let expected = [
        "HOME",
        "MY_VAR",
        "OPENFAAS_NAME",
        "OPENFAAS_NAMESPACE",
        "OPENFAAS_SECRETS_DIR",
        "OPENFAAS_URL",
        "PATH",
        "TMPDIR",
        "TZ",
        "fprocess",
    ];
    assert_eq!(ours, expected);
    assert_eq!(all["MY_VAR"], "a b=c");
    assert_eq!(all["OPENFAAS_URL"], "http://127.0.0.1:9");
    assert_eq!(all["fprocess"], "env");
    assert_eq!(all["Http_Method"], "POST");
}

#[tokio::test]
async fn a_directory_is_where_its_program_runs() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("functions/app")).unwrap();
    bench.script("app/handler", "#!/bin/sh\ncat data.txt\n");
    fs::write(bench.path("functions/app/data.txt"), "from the directory").unwrap();
    let mut spec = function("app");
    spec.env_process = Some("./handler".to_owned());
    let it = bench.up(spec).await;
    assert_eq!(call(&it.endpoint, "").await.1, "from the directory");
}

#[tokio::test]
async fn files_are_served_from_the_directory() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("functions/site")).unwrap();
    fs::write(bench.path("functions/site/index.html"), "a page").unwrap();
    let it = bench
        .up(with(function("site"), &[("mode", "static")]))
        .await;
    let EndpointAddress::Unix(_) = &it.endpoint.address else {
        panic!("{it:?}");
    };
    // The client posts, and files are only read.
    assert_eq!(call(&it.endpoint, "").await.0, 405);
}

#[tokio::test]
async fn a_program_that_listens_is_called_itself_on_the_port_it_is_told() {
    let mut bench = Bench::new();
    let image = bench.script("server", SERVER);
    let spec = with(function(&image), &[("mode", "http")]);
    let first = bench.up(spec.clone()).await;
    let second = bench.up(spec).await;
    assert_ne!(first.endpoint, second.endpoint);
    for it in [first, second] {
        let EndpointAddress::Tcp(address) = &it.endpoint.address else {
            panic!("{it:?}");
        };
        let port = address.port();
        assert_eq!(
            it.unready.as_deref(),
            Some(&*format!(
                "nothing listens on 127.0.0.1:{port}; the program must listen on the port in its \
                 variable PORT"
            ))
        );
        let (status, body) = call(&it.endpoint, "").await;
        assert_eq!((status, body), (200, format!("port {port} {port}")));
    }
}

#[tokio::test]
async fn a_program_says_by_its_path_when_it_is_ready_and_when_no_more() {
    let mut bench = Bench::new();
    let moody = SERVER.replace("200 OK", "\" . (-e 'sick' ? 503 : 200) . \" X");
    let image = bench.script("moody", &moody);
    let sick = bench.path("functions/sick");
    fs::write(&sick, "").unwrap();
    let mut spec = with(function("."), &[("mode", "http")]);
    spec.env_process = Some(image);
    for (what, value) in [
        ("path", "/ready"),
        ("periodSeconds", "50ms"),
        ("failureThreshold", "1"),
    ] {
        let name = format!("com.openfaas.ready.http.{what}");
        spec.annotations.insert(name, value.to_owned());
    }
    let it = bench.start(spec).await;
    let lacks = "GET /ready does not say that it is ready: the answer was 503";
    for _ in 0..2 {
        // At first nothing listens.
        while bench.unready(&it.id).await != lacks {}
        assert_eq!(
            bench.runtime.list().await.unwrap()[0].state,
            InstanceState::Started
        );
        fs::remove_file(&sick).unwrap();
        bench.ready(&it.id).await;
        assert_eq!(
            bench.runtime.list().await.unwrap()[0].state,
            InstanceState::Ready
        );
        fs::write(&sick, "").unwrap();
    }
}

#[tokio::test]
async fn a_fixed_port_allows_one_instance_and_must_be_free() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let url = format!("http://127.0.0.1:{port}");
    let image = bench.script("server", SERVER);
    let spec = with(
        function(&image),
        &[("mode", "http"), ("upstream_url", &url)],
    );
    let prepared = bench.runtime.prepare(&spec).await.unwrap();
    assert!(prepared.single_instance.unwrap().contains(&port));

    let instance = bench.instance(spec, &[]);
    let error = bench.runtime.start(instance).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains(&port), "{error}");
}

#[tokio::test]
async fn the_same_id_twice_is_one_instance() {
    let bench = Bench::new();
    let instance = bench.instance(process("cat"), &[]);
    let (first, second) = tokio::join!(
        bench.runtime.start(instance.clone()),
        bench.runtime.start(instance)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.endpoint, second.endpoint);
    assert_eq!(first.started_at, second.started_at);
    let list = bench.runtime.list().await.unwrap();
    assert_eq!(list.len(), 1);
    assert_ne!(list[0].state, InstanceState::Exited);
}

#[tokio::test]
async fn a_state_directory_with_a_long_path_does_not_matter() {
    let long = "d".repeat(120);
    let mut bench = Bench::with(|config| {
        let state = config.run_dir.parent().unwrap().to_owned();
        config.run_dir = state.join(&long).join("run");
    });
    let it = bench.up(process("cat")).await;
    assert_eq!(call(&it.endpoint, "near").await.1, "near");
    bench.runtime.remove(&it.id).await.unwrap();
}

#[tokio::test]
async fn secrets_are_files_that_follow_their_values() {
    let mut bench = Bench::new();
    let image = bench.script(
        "secret",
        "#!/bin/sh\ncd \"$OPENFAAS_SECRETS_DIR\"\nls -a | tr '\\n' ' '\ncat key\n",
    );
    let it = bench
        .start_with(function(&image), &[("key", "old"), ("b", "")])
        .await;
    bench.ready(&it.id).await;
    assert_eq!(call(&it.endpoint, "").await.1, ". .. b key old");
    let secrets = named(&[("key", "new value")]);
    bench
        .runtime
        .refresh_secrets(&it.function, &secrets)
        .await
        .unwrap();
    assert_eq!(call(&it.endpoint, "").await.1, ". .. b key new value");

    let dir = bench.path("state/run/0").join(it.id.as_str());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("secrets/key")), 0o400);
    assert!(SecretName::new("../key").is_err());
}

#[tokio::test]
async fn what_an_instance_uses_is_counted() {
    let mut bench = Bench::new();
    let it = bench.up(process("cat")).await;
    let stats = bench.runtime.stats(&it.id).await.unwrap();
    assert!(stats.memory_bytes > 100_000, "{stats:?}");
    assert!(
        bench
            .runtime
            .stats(&provider_types::InstanceId::new("none"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_warning_and_an_annotation_say_that_the_image_was_not_run() {
    let bench = Bench::new();
    let prepared = bench.runtime.prepare(&process("env")).await.unwrap();
    assert!(prepared.warnings[0].contains("ghcr.io/openfaas/alpine"));
    assert_eq!(
        prepared.annotations[0].0,
        runtime_process::IMAGE_NOT_RUN_ANNOTATION
    );
    let error = bench.runtime.prepare(&function("nginx")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let wrong = with(process("env"), &[("exec_timeout", "soon")]);
    let error = bench.runtime.prepare(&wrong).await.unwrap_err();
    assert!(error.message().contains("exec_timeout"), "{error}");
}

#[tokio::test]
async fn functions_run_as_another_user_where_that_is_asked_for_and_we_may() {
    let nobody = runtime_process::User::find("nobody").unwrap();
    let uid = nobody.uid.to_string();
    // Below a directory that others can enter.
    let run = std::env::temp_dir().join(format!("run-as-{}", std::process::id()));
    let mut bench = Bench::with(|config| {
        config.run_as = Some(nobody);
        config.run_dir = run.clone();
    });
    let image = bench.script(
        "who",
        "#!/bin/sh\nid -u; id -G; cat $OPENFAAS_SECRETS_DIR/key\n",
    );
    let instance = bench.instance(function(&image), &[("key", "readable")]);
    fs::set_permissions(bench.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let started = bench.runtime.start(instance).await;
    if rustix::process::geteuid().is_root() {
        let it = started.unwrap();
        bench.ready(&it.id).await;
        let (_, text) = call(&it.endpoint, "").await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], uid);
        assert_ne!(lines[1].split(' ').next().unwrap(), "0");
        assert_eq!(lines[2], "readable");
        bench.runtime.remove(&it.id).await.unwrap();
    } else {
        started.unwrap_err();
    }
    fs::remove_dir_all(run).unwrap();
}

#[tokio::test]
async fn an_endpoint_is_a_socket_in_the_instances_own_directory() {
    let mut bench = Bench::new();
    let it = bench.up(process("cat")).await;
    let socket = bench.path("state/run/0").canonicalize().unwrap();
    assert_eq!(
        it.endpoint,
        Endpoint::unix(socket.join(it.id.as_str()).join("s"))
    );
}
