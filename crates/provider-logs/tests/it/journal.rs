//! The journald source, on a real journal.

use std::error::Error as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use provider_logs::Journald as Source;
use provider_types::{
    CallContext, ErrorKind, FunctionRef, LogRequest, LogSource as _, Namespace, ProviderError,
};

use crate::client::{PATIENCE, Reply, serve};
use crate::journald::Journald;

/// A name that no other test and no other run has.
fn unique(what: &str) -> String {
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("{what}-{}-{nanos}", std::process::id())
}

/// Writes entries from this process.
fn write(journald: &Journald, name: &str, messages: &[&[u8]]) {
    for message in messages {
        journald.write(&[
            ("SYSLOG_IDENTIFIER", format!("dev:{name}").as_bytes()),
            ("MESSAGE", message),
        ]);
    }
    journald.flush();
}

/// A `journalctl` with more to it: a shell script that ends in the real one.
fn script(directory: &Path, body: &str) -> PathBuf {
    let path = directory.join("journalctl");
    // Written by a process of its own: a file that another thread's child has open for writing
    // cannot be executed.
    let mut tee = Command::new("tee")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    write!(tee.stdin.take().unwrap(), "#!/bin/sh\n{body}\n").unwrap();
    assert!(tee.wait().unwrap().success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn lines_are_those_of_the_function_in_their_order() {
    let journald = Journald::hold();
    let (name, other) = (unique("order"), unique("other"));
    let pid = journald.line(&format!("dev:{name}"), "first");
    write(&journald, &other, &[b"not ours"]);
    write(&journald, &name, &[b"second", b"third"]);

    let address = serve(Source::new()).await;
    let mut reply = Reply::get(address, &format!("name={name}&namespace=dev")).await;
    let first = reply.line().await.unwrap().unwrap();
    assert_eq!(first["text"], "first");
    assert_eq!(first["name"], name.as_str());
    assert_eq!(first["namespace"], "dev");
    assert_eq!(first["instance"], pid.to_string());
    assert_eq!(reply.texts().await, ["second", "third"]);

    let elsewhere = Reply::get(address, &format!("name={name}&namespace=prod")).await;
    assert_eq!(elsewhere.response.status(), 200);
    assert!(elsewhere.texts().await.is_empty());
}

#[tokio::test]
async fn a_message_of_every_shape_is_a_line_and_none_ends_the_stream() {
    let journald = Journald::hold();
    let name = unique("shapes");
    let identifier = format!("dev:{name}");
    let entry = |fields: &[(&str, &[u8])]| {
        let identifier = [("SYSLOG_IDENTIFIER", identifier.as_bytes())];
        journald.write(&[&identifier, fields].concat());
    };
    let long = "long ".repeat(30_000);
    entry(&[("MESSAGE", b"\x1b[31mred\x1b[0m")]);
    entry(&[("MESSAGE", b"bad \xff\xfe text")]);
    entry(&[("MESSAGE", b"one"), ("MESSAGE", b"two")]);
    entry(&[("MESSAGE", b"three"), ("MESSAGE", b"\x01four")]);
    entry(&[("PRIORITY", b"6")]);
    entry(&[("MESSAGE", "two\nlines é\n".as_bytes())]);
    entry(&[("MESSAGE", long.as_bytes())]);
    entry(&[("MESSAGE", &[0xfe; 50_000])]);
    journald.flush();
    // Too long for the socket's protocol by itself: this goes as a file.
    let huge = "x".repeat(1024 * 1024);
    let mut logger = Command::new("logger")
        .arg("--journald")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = logger.stdin.take().unwrap();
    writeln!(stdin, "SYSLOG_IDENTIFIER={identifier}\nMESSAGE={huge}").unwrap();
    drop(stdin);
    assert!(logger.wait().unwrap().success());
    write(&journald, &name, &[b"end"]);

    let address = serve(Source::new()).await;
    let mut texts = Reply::get(address, &format!("name={name}&namespace=dev"))
        .await
        .texts()
        .await;
    // journald does not keep the order of a field's values.
    for text in &mut texts {
        let mut values: Vec<_> = text.split('\n').collect();
        values.sort_unstable();
        *text = values.join("\n");
    }
    assert_eq!(
        texts,
        [
            "\u{1b}[31mred\u{1b}[0m",
            "bad \u{fffd}\u{fffd} text",
            "one\ntwo",
            "\u{1}four\nthree",
            "",
            "lines é\ntwo",
            &long,
            &"\u{fffd}".repeat(50_000),
            &huge,
            "end",
        ]
    );
}

#[tokio::test]
async fn tail_since_and_instance_work_together_and_with_follow() {
    let journald = Journald::hold();
    let name = unique("select");
    let identifier = format!("dev:{name}");
    write(&journald, &name, &[b"a1", b"a2"]);
    let other = journald.line(&identifier, "b3");
    write(&journald, &name, &[b"a4", b"a5", b"a6"]);
    let (mine, identifier) = (std::process::id(), identifier.as_str());

    let address = serve(Source::new()).await;
    let query = format!("name={name}&namespace=dev");
    let ask = async |more: &str| Reply::get(address, &format!("{query}{more}")).await;

    let mut all = ask("").await;
    let mut times = Vec::new();
    while let Some(line) = all.line().await.unwrap() {
        times.push(line["timestamp"].as_str().unwrap().to_owned());
    }
    assert_eq!(times.len(), 6, "{times:?}");
    let since = |entry: usize| format!("&since={}", times[entry]);

    for (more, expected) in [
        ("&tail=2".to_owned(), &["a5", "a6"][..]),
        ("&tail=99".to_owned(), &["a1", "a2", "b3", "a4", "a5", "a6"]),
        ("&tail=-1".to_owned(), &["a1", "a2", "b3", "a4", "a5", "a6"]),
        // All were written within a second or two: only an exact time tells them apart.
        (since(0), &["a1", "a2", "b3", "a4", "a5", "a6"]),
        (since(3), &["a4", "a5", "a6"]),
        (format!("{}&tail=2", since(3)), &["a5", "a6"]),
        (format!("{}&tail=5", since(3)), &["a4", "a5", "a6"]),
        (
            format!("{}1Z", since(3).trim_end_matches('Z')),
            &["a5", "a6"],
        ),
        ("&since=2999-01-01T00:00:00Z".to_owned(), &[]),
        ("&since=1969-01-01T00:00:00Z&tail=1".to_owned(), &["a6"]),
        (format!("&instance={other}"), &["b3"]),
        (
            format!("&instance={mine}&tail=4"),
            &["a2", "a4", "a5", "a6"],
        ),
        (format!("&instance={mine}{}", since(2)), &["a4", "a5", "a6"]),
        (format!("&instance={mine}{}&tail=1", since(2)), &["a6"]),
    ] {
        assert_eq!(ask(&more).await.texts().await, expected, "{more}");
    }

    let mut follows = Vec::new();
    for (more, expected) in [
        ("&tail=2&follow=1".to_owned(), vec!["a5", "a6", "b7", "a8"]),
        (
            format!("{}&tail=1&follow=1", since(1)),
            vec!["a6", "b7", "a8"],
        ),
        (
            format!("{}&follow=1", since(4)),
            vec!["a5", "a6", "b7", "a8"],
        ),
        (
            format!("&instance={mine}&tail=1&follow=1"),
            vec!["a6", "a8"],
        ),
        (
            "&follow=1".to_owned(),
            vec!["a1", "a2", "b3", "a4", "a5", "a6", "b7", "a8"],
        ),
    ] {
        follows.push((ask(&more).await, more, expected));
    }
    journald.line(identifier, "b7");
    write(&journald, &name, &[b"a8"]);
    for (mut reply, more, expected) in follows {
        for text in expected {
            assert_eq!(reply.text().await, text, "{more}");
        }
    }
}

#[tokio::test]
async fn a_follow_begins_before_there_is_a_line() {
    let journald = Journald::hold();
    let name = unique("early");
    let address = serve(Source::new()).await;
    for (more, text) in [("", "one"), ("&tail=5", "two")] {
        let name = format!("{name}{text}");
        let query = format!("name={name}&namespace=dev&follow=1{more}");
        let mut reply = Reply::get(address, &query).await;
        write(&journald, &name, &[text.as_bytes()]);
        assert_eq!(reply.text().await, text);
    }
}

#[tokio::test]
async fn a_follow_without_tail_begins_with_all_there_is() {
    let journald = Journald::hold();
    let name = unique("all");
    let texts: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let messages: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    write(&journald, &name, &messages);
    let address = serve(Source::new()).await;
    let mut reply = Reply::get(address, &format!("name={name}&namespace=dev&follow=1")).await;
    for text in texts {
        assert_eq!(reply.text().await, text);
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_announced_and_ends_nothing() {
    let journald = Journald::hold();
    let name = unique("garbage");
    write(&journald, &name, &[b"one", b"two"]);
    let directory = tempfile::tempdir().unwrap();
    let address = serve(Source::new().program(script(
        directory.path(),
        "echo garbage; printf '\\377\\n'; exec journalctl \"$@\"",
    )))
    .await;
    let reply = Reply::get(address, &format!("name={name}&namespace=dev")).await;
    let missing = "1 log line is missing here";
    assert_eq!(reply.texts().await, [missing, missing, "one", "two"]);
}

#[tokio::test]
async fn since_means_the_same_in_every_time_zone() {
    let journald = Journald::hold();
    let name = unique("zone");
    write(&journald, &name, &[b"now"]);
    let directory = tempfile::tempdir().unwrap();
    let address =
        serve(Source::new().program(script(directory.path(), "TZ=XYZ+11 exec journalctl \"$@\"")))
            .await;
    let minute = std::time::Duration::from_secs(60);
    for (since, expected) in [
        (std::time::SystemTime::now() - minute, &["now"][..]),
        (std::time::SystemTime::now() + minute, &[]),
    ] {
        let since = provider_types::Timestamp::from(since);
        let query = format!("name={name}&namespace=dev&since={since}");
        assert_eq!(Reply::get(address, &query).await.texts().await, expected);
    }
}

#[tokio::test]
async fn there_is_no_window_unless_since_is_given() {
    let journald = Journald::hold();
    let name = unique("window");
    write(&journald, &name, &[b"line"]);
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("arguments");
    let program = script(
        directory.path(),
        &format!("echo \"$@\" >> {}; exec journalctl \"$@\"", seen.display()),
    );
    let address = serve(Source::new().program(program)).await;
    let reply = Reply::get(address, &format!("name={name}&namespace=dev&tail=3")).await;
    assert_eq!(reply.texts().await, ["line"]);
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains(&format!("--identifier=dev:{name}")), "{seen}");
    assert!(!seen.contains("--since"), "{seen}");
}

/// Finds the `journalctl` that serves this function.
fn process_of(name: &str) -> Option<PathBuf> {
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        let arguments = fs::read_to_string(path.join("cmdline")).ok()?;
        let serves = arguments.contains("--follow\0")
            && arguments.contains(&format!("--identifier=dev:{name}\0"));
        serves.then_some(path)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_is_killed_and_reaped_when_the_client_leaves() {
    let journald = Journald::hold();
    let name = unique("leave");
    write(&journald, &name, &[b"line"]);
    let address = serve(Source::new()).await;
    let query = format!("name={name}&namespace=dev&follow=1");
    let mut reply = Reply::get(address, &query).await;
    assert_eq!(reply.text().await, "line");
    let process = process_of(&name).expect("no journalctl follows");

    drop(reply);
    // A process that has ended and was not waited for is still there.
    let deadline = Instant::now() + PATIENCE;
    while process.exists() {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        assert!(Instant::now() < deadline, "it is still there: {status}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_journalctl_that_ends_breaks_the_follow_visibly() {
    let journald = Journald::hold();
    let name = unique("killed");
    write(&journald, &name, &[b"line"]);
    let address = serve(Source::new()).await;
    let query = format!("name={name}&namespace=dev&follow=1");
    let mut reply = Reply::get(address, &query).await;
    assert_eq!(reply.text().await, "line");

    let process = process_of(&name).expect("no journalctl follows");
    let pid = process.file_name().unwrap().to_str().unwrap();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert_eq!(
        reply.text().await,
        "the log stream broke off: the journal cannot be read"
    );
    assert!(reply.line().await.is_err(), "it looks complete");
}

async fn refused(source: Source, instance: Option<&str>) -> ProviderError {
    let function = FunctionRef::parse_dotted("f.dev", &Namespace::default()).unwrap();
    let mut request = LogRequest::new(CallContext::default(), function);
    request.instance = instance.map(str::to_owned);
    match source.query(request).await {
        Ok(_) => panic!("it was answered"),
        Err(error) => error,
    }
}

/// An error's message and those of its causes.
fn words(error: &ProviderError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_an_error_with_its_reason() {
    let _journald = Journald::hold();
    let empty = tempfile::tempdir().unwrap();
    let script_home = tempfile::tempdir().unwrap();
    let failing = script(script_home.path(), "echo 'the disk is gone' >&2; exit 3");
    for (source, reason) in [
        (
            Source::new().program("/nonexistent/journalctl"),
            "could not start /nonexistent/journalctl: No such file",
        ),
        (
            Source::new().directory("/nonexistent"),
            "/nonexistent: No such file or directory",
        ),
        (
            Source::new().directory(empty.path()),
            "No journal files were found",
        ),
        (
            Source::new().program(failing),
            "exit status: 3: the disk is gone",
        ),
    ] {
        let error = refused(source, None).await;
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(error.message(), "the journal cannot be read");
        assert!(words(&error).contains(reason), "{}", words(&error));
    }
}

#[tokio::test]
async fn an_instance_cannot_bring_arguments() {
    for instance in [
        "",
        "--file=/etc/passwd",
        "1 --all",
        "1\0",
        "+",
        "MESSAGE=x",
        "-1",
    ] {
        let error = refused(Source::new(), Some(instance)).await;
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{instance:?}");
    }
}
