//! Mode `static`.

use std::os::unix::fs::symlink;

use crate::support::{Raw, Served, client, config, serve_config};

async fn site() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for sub in ["docs", "empty"] {
        std::fs::create_dir_all(root.join(sub)).unwrap();
    }
    for (name, text) in [
        ("root/index.html", "<p>home"),
        ("root/a b.css", "p {}"),
        ("root/docs/index.html", "<p>docs"),
        ("root/data.unknown", "\0"),
        ("secret.txt", "secret"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    symlink("../secret.txt", root.join("out.txt")).unwrap();
    symlink("index.html", root.join("home.html")).unwrap();
    let path = root.to_str().unwrap().to_owned();
    serve_config(config(&[("mode", "static"), ("static_path", &path)]), dir).await
}

#[tokio::test]
async fn files_are_served_with_their_type_and_length() {
    let served = site().await;
    for (path, body, kind) in [
        ("/", "<p>home", "text/html; charset=utf-8"),
        ("/?q=1", "<p>home", "text/html; charset=utf-8"),
        ("/index.html", "<p>home", "text/html; charset=utf-8"),
        ("/home.html", "<p>home", "text/html; charset=utf-8"),
        ("/a%20b.css", "p {}", "text/css; charset=utf-8"),
        ("/docs/", "<p>docs", "text/html; charset=utf-8"),
        ("/data.unknown", "\0", "application/octet-stream"),
    ] {
        let reply = served.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, body), "{path}");
        assert_eq!(reply.header("content-type"), Some(kind), "{path}");
        let length = body.len().to_string();
        assert_eq!(reply.header("content-length"), Some(length.as_str()));
    }
    served.stopped().await;
}

#[tokio::test]
async fn a_large_file_comes_whole() {
    let served = site().await;
    let content = "0123456789abcdef".repeat(100_000);
    std::fs::write(served.file("root/large.txt"), &content).unwrap();
    assert!(served.get("/large.txt").await.body == content);
    served.stopped().await;
}

#[tokio::test]
async fn nothing_outside_of_the_directory_is_served() {
    let served = site().await;
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/docs/../../secret.txt",
        "//../secret.txt",
        "/out.txt",
        "/nothing",
        "/empty/",
        "/empty",
        "/index.html/",
        "/a%00",
    ] {
        let mut raw = Raw::open(served.address).await;
        raw.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: f\r\nconnection: close\r\n\r\n"
        ))
        .await;
        let reply = raw.rest().await;
        assert!(reply.starts_with("HTTP/1.1 404 "), "{path}: {reply}");
        assert!(!reply.contains("secret\n"), "{path}: {reply}");
    }
    served.stopped().await;
}

#[tokio::test]
async fn a_directory_is_named_with_its_slash() {
    let served = site().await;
    let reply = served.get("/docs?q=1").await;
    assert_eq!(reply.status, 301);
    assert_eq!(reply.header("location"), Some("./docs/?q=1"));
    served.stopped().await;
}

#[tokio::test]
async fn head_gives_the_header_alone_and_other_methods_are_refused() {
    let served = site().await;
    let reply = client().head(served.url("/")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-length"], "7");
    assert_eq!(reply.text().await.unwrap(), "");

    let reply = served.post("/", "x").await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    served.stopped().await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told_at_start() {
    let config = config(&[("mode", "static"), ("static_path", "/nonexistent")]);
    let logs = provider_watchdog::Logs::new(tokio::io::sink(), tokio::io::sink());
    let error = provider_watchdog::Watchdog::new(config, logs).unwrap_err();
    assert!(error.to_string().contains("static_path"), "{error}");
}
