//! Mode `serializing`.

use crate::support::{Raw, serve, serve_script};

const MODE: (&str, &str) = ("mode", "serializing");

#[tokio::test]
async fn the_reply_is_what_the_program_wrote_with_its_length() {
    let served = serve(&[("fprocess", "cat"), MODE]).await;
    let reply = served.post("/", "hello").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "hello"));
    assert_eq!(reply.header("content-length"), Some("5"));
    let seconds = reply.header("x-duration-seconds").unwrap();
    assert!(seconds.parse::<f64>().is_ok() && seconds.split('.').nth(1).unwrap().len() == 6);
    served.stopped().await;
}

#[tokio::test]
async fn failing_is_500_even_after_output() {
    let served = serve_script("echo half; exit 7", &[MODE]).await;
    let reply = served.post("/", "").await;
    assert_eq!(reply.status, 500);
    assert_eq!(reply.body, "the function ended with exit status: 7\n");
    assert!(reply.header("x-duration-seconds").is_some());
    assert_eq!(reply.header("x-openfaas-reason"), Some("function-crashed"));
    served.stopped().await;
}

#[tokio::test]
async fn the_program_starts_when_the_whole_body_is_there() {
    let served = serve_script("touch started; cat", &[MODE]).await;
    let mut raw = Raw::open(served.address).await;
    raw.send("POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 4\r\n\r\nab")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!served.file("started").exists());
    raw.send("cd").await;
    raw.until("abcd").await;
    served.stopped().await;
}

#[tokio::test]
async fn what_is_held_is_bounded_both_ways() {
    let small = ("max_buffered_bytes", "1000");
    let served = serve(&[("fprocess", "cat"), MODE, small]).await;
    assert_eq!(served.post("/", vec![b'x'; 1000]).await.status, 200);
    let reply = served.post("/", vec![b'x'; 1001]).await;
    assert_eq!(reply.status, 413);
    assert!(reply.body.contains("max_buffered_bytes"), "{}", reply.body);

    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(
        (0..11).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 100])),
    ));
    assert_eq!(served.post("/", chunked).await.status, 413);
    served.stopped().await;

    let served = serve_script("head -c 1001 /dev/zero", &[MODE, small]).await;
    let reply = served.get("/").await;
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("max_buffered_bytes"), "{}", reply.body);
    served.stopped().await;
}
