//! The image of the test function, as a layout and from the registry.

use std::net::SocketAddr;

use provider_conformance::{FunctionImage, ImageRegistry};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOMEWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The smallest thing that says of itself to be a static program: a header without segments.
fn program() -> Vec<u8> {
    let mut program = vec![0; 4096];
    program[..6].copy_from_slice(b"\x7fELF\x02\x01");
    program[18] = 62;
    program
}

fn digest(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes);
    let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// The registry's address.
async fn serve() -> String {
    let image = FunctionImage::of(&program()).unwrap();
    let registry = ImageRegistry::bind(SOMEWHERE, image).await.unwrap();
    let reference = registry.reference();
    tokio::spawn(registry.serve(std::future::pending()));
    reference.split('/').next().unwrap().to_owned()
}

/// The header and the body of the answer.
async fn ask(address: &str, method: &str, target: &str, header: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: r\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap(), body)
}

async fn content(address: &str, described: &Value, kind: &str) -> Vec<u8> {
    let name = described["digest"].as_str().unwrap();
    let target = format!("/v2/conformance-function/{kind}/{name}");
    let (head, body) = ask(address, "GET", &target, "").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let media_type = described["mediaType"].as_str().unwrap();
    assert!(
        head.contains(&format!("Content-Type: {media_type}\r\n")),
        "{head}"
    );
    assert_eq!(digest(&body), name);
    assert_eq!(described["size"], body.len());
    body
}

#[tokio::test]
async fn a_pull_goes_from_the_tag_to_the_layer() {
    let address = serve().await;
    assert!(
        ask(&address, "GET", "/v2/", "")
            .await
            .0
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    let by_tag = "/v2/conformance-function/manifests/latest";
    let (head, none) = ask(&address, "HEAD", by_tag, "").await;
    assert!(none.is_empty());
    let (same, index) = ask(&address, "GET", by_tag, "").await;
    assert_eq!(head, same);
    assert!(
        head.contains(&format!("Docker-Content-Digest: {}\r\n", digest(&index))),
        "{head}"
    );
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", index.len())),
        "{head}"
    );

    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"][0]["platform"]["architecture"], "amd64");
    let manifest = content(&address, &index["manifests"][0], "manifests").await;
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let config = content(&address, &manifest["config"], "blobs").await;
    let config: Value = serde_json::from_slice(&config).unwrap();
    let layer = content(&address, &manifest["layers"][0], "blobs").await;
    assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
    assert!(layer.windows(4096).any(|part| part == program()));

    let target = format!(
        "/v2/conformance-function/blobs/{}",
        manifest["layers"][0]["digest"].as_str().unwrap()
    );
    for (range, expected) in [
        ("bytes=0-3", Some(0..4)),
        ("bytes=5-", Some(5..layer.len())),
        ("bytes=-2", Some(layer.len() - 2..layer.len())),
        ("bytes=999999-", None),
    ] {
        let (head, part) = ask(&address, "GET", &target, &format!("Range: {range}\r\n")).await;
        match expected {
            Some(expected) => {
                assert!(head.starts_with("HTTP/1.1 206 "), "{range}: {head}");
                assert!(part == layer[expected], "{range}: {head}");
            }
            None => assert!(head.starts_with("HTTP/1.1 416 "), "{range}: {head}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_words_of_the_specification() {
    let address = serve().await;
    for (method, target, status, code) in [
        ("GET", "/v2/other/manifests/latest", "404", "NAME_UNKNOWN"),
        (
            "GET",
            "/v2/conformance-function/manifests/1",
            "404",
            "MANIFEST_UNKNOWN",
        ),
        (
            "GET",
            "/v2/conformance-function/blobs/sha256:0",
            "404",
            "BLOB_UNKNOWN",
        ),
        (
            "POST",
            "/v2/conformance-function/blobs/uploads/",
            "405",
            "UNSUPPORTED",
        ),
    ] {
        let (head, body) = ask(&address, method, target, "").await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target}: {head}"
        );
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errors"][0]["code"], code);
    }
    let (_, tags) = ask(&address, "GET", "/v2/conformance-function/tags/list", "").await;
    assert_eq!(
        tags,
        br#"{"name":"conformance-function","tags":["latest"]}"#
    );
}

#[test]
fn a_layout_has_every_content_under_its_digest() {
    let place = tempfile::tempdir().unwrap();
    let image = FunctionImage::of(&program()).unwrap();
    image.write_layout(place.path()).unwrap();
    let mut contents = 0;
    for entry in std::fs::read_dir(place.path().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            digest(&std::fs::read(&path).unwrap()),
            format!("sha256:{name}")
        );
        contents += 1;
    }
    // The layer, its config, the manifest and the index.
    assert_eq!(contents, 4);
    let index = std::fs::read(place.path().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"][0]["digest"], image.digest());
    let version = std::fs::read_to_string(place.path().join("oci-layout")).unwrap();
    assert_eq!(version, r#"{"imageLayoutVersion":"1.0.0"}"#);
    // The same program, the same image.
    assert_eq!(
        FunctionImage::of(&program()).unwrap().digest(),
        image.digest()
    );
}
