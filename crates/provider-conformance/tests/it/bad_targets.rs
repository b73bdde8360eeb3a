//! Whatever is behind the URL: a clear error with exit code 2, or a failure, in time, and never a
//! pass.

use std::process::Output;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PROVIDER: &[(&str, &str)] = &[
    ("GET /system/functions", "[]"),
    (
        "GET /system/info",
        r#"{"provider":"x","version":{"sha":"y","release":"z"},"orchestration":"w"}"#,
    ),
];

/// Serves each connection with a function of its own; gives the URL.
async fn serve<F, W>(each: F) -> String
where
    F: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    url
}

/// Reads the head of a request.
async fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn reply(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Runs the kit with limits of a twentieth, within 20 s.
async fn kit(arguments: &[&str]) -> (i32, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_provider-conformance"));
    command
        .args(["run", "--patience", "0.05"])
        .args(arguments)
        .kill_on_drop(true);
    let start = Instant::now();
    let output: Output = tokio::time::timeout(Duration::from_secs(20), command.output())
        .await
        .unwrap_or_else(|_| panic!("the kit hangs, {:?}", start.elapsed()))
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code().unwrap(), text)
}

async fn refused(url: &str, hint: &str) {
    for features in [None, Some("core")] {
        let mut arguments = vec!["--url", url];
        arguments.extend(features.iter().flat_map(|names| ["--features", names]));
        let (code, text) = kit(&arguments).await;
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(hint), "{text}");
    }
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    refused(&url, "cannot be reached: no connection").await;
    refused("unix:/nowhere/provider.sock", "cannot be reached").await;
}

#[tokio::test]
async fn the_credentials_are_wrong() {
    let url = serve(async |mut stream| {
        request(&mut stream).await;
        reply(&mut stream, "401 Unauthorized", "invalid credentials").await;
    })
    .await;
    refused(&url, "--password-file").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "hunter22\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, text) = kit(&["--url", &url, "--user", "admin", "--password-file", file]).await;
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("is the user right") && !text.contains("hunter22"),
        "{text}"
    );
}

#[tokio::test]
async fn something_else_is_there() {
    let url = serve(async |mut stream| {
        request(&mut stream).await;
        reply(&mut stream, "200 OK", "<html>Welcome</html>").await;
    })
    .await;
    refused(&url, "is no OpenFaaS provider").await;
}

#[tokio::test]
async fn what_is_there_never_answers() {
    let url = serve(async |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    refused(&url, "no answer within").await;
}

#[tokio::test]
async fn what_is_there_speaks_no_http() {
    let url = serve(async |mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    refused(&url, "not valid HTTP").await;
}

#[tokio::test]
async fn the_answer_never_ends() {
    let drip = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let flood = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, piece, pause) in [(drip, "1", 20), (flood, "1111111111", 0), ("", "HTTP", 0)] {
        let url = serve(move |mut stream: TcpStream| async move {
            request(&mut stream).await;
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(piece.as_bytes()).await;
                if pause > 0 {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        })
        .await;
        refused(&url, "cannot be reached").await;
    }
}

/// Looks like a provider at first, and then hangs.
async fn half_dead() -> String {
    serve(async |mut stream| {
        let head = request(&mut stream).await;
        match PROVIDER.iter().find(|(start, _)| head.starts_with(start)) {
            Some((_, body)) => reply(&mut stream, "200 OK", body).await,
            None => drop(stream.read_to_end(&mut Vec::new()).await),
        }
    })
    .await
}

#[tokio::test]
async fn a_provider_that_hangs_fails_in_time() {
    let url = half_dead().await;
    let (code, text) = kit(&["--url", &url, "--features", "core"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("non-conformant") && text.contains("no answer within"),
        "{text}"
    );
    // Where it is to be found out what there is, nothing can be.
    let (code, text) = kit(&["--url", &url]).await;
    assert_eq!(code, 2, "{text}");
}

#[tokio::test]
async fn a_provider_that_answers_garbage_fails() {
    let url = serve(async |mut stream| {
        let head = request(&mut stream).await;
        match PROVIDER.iter().find(|(start, _)| head.starts_with(start)) {
            Some((_, body)) => reply(&mut stream, "200 OK", body).await,
            None => reply(&mut stream, "200 OK", "{]}").await,
        }
    })
    .await;
    let (code, text) = kit(&["--url", &url, "--features", "core"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("non-conformant"), "{text}");
}

/// Whatever it is asked, it repeats the head of the request.
#[tokio::test]
async fn what_a_provider_repeats_of_the_credentials_is_shown_nowhere() {
    let url = serve(async |mut stream| {
        let head = request(&mut stream).await;
        match PROVIDER.iter().find(|(start, _)| head.starts_with(start)) {
            Some((_, body)) => reply(&mut stream, "200 OK", body).await,
            None => reply(&mut stream, "500 Oops", &format!("hunter22: {head}")).await,
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, "hunter22").unwrap();
    let written = directory.path().join("report");
    let (_, text) = kit(&[
        "--url",
        &url,
        "--features",
        "core",
        "--user",
        "admin",
        "--password-file",
        password.to_str().unwrap(),
        "--report",
        written.to_str().unwrap(),
    ])
    .await;
    let mut shown = vec![("the console".to_owned(), text)];
    for entry in std::fs::read_dir(written).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        shown.push((path.display().to_string(), text));
    }
    for (place, text) in shown {
        assert!(text.contains("500"), "{place}");
        // In Base64: admin:hunter22.
        for secret in ["hunter22", "YWRtaW46aHVudGVyMjI="] {
            assert!(!text.contains(secret), "{place} has {secret}");
        }
    }
}

#[tokio::test]
async fn what_the_user_got_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let declaration = directory.path().join("conformance.json");
    std::fs::write(&declaration, r#"{"features": [], "sikp": ["FUN"]}"#).unwrap();
    let declaration = declaration.to_str().unwrap();
    let url = "http://127.0.0.1:1";
    for (arguments, hint) in [
        (
            &["--url", url, "--features", "secret"][..],
            "there are: core",
        ),
        (&["--url", url, "--skip", "OFP-FUN-999"], "OFP-FUN-999"),
        (&["--url", url, "--only", "nothing"], "nothing"),
        (&["--url", url, "--declaration", "/nowhere"], "/nowhere"),
        (&["--url", url, "--declaration", declaration], "sikp"),
        (
            &[
                "--url",
                url,
                "--user",
                "admin",
                "--password-file",
                "/nowhere",
            ],
            "/nowhere",
        ),
        (&["--url", "https://127.0.0.1:1"], "no TLS"),
        (&["--url", "127.0.0.1:1"], "http://HOST:PORT"),
        (&["--url", url, "--patience", "-1"], "patience"),
        (&["--url", url, "--patience", "inf"], "patience"),
        (&["--url", url, "--frobnicate"], "--frobnicate"),
        (&[], "--url"),
    ] {
        let (code, text) = kit(arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains(hint), "{arguments:?}: {text}");
    }
}
