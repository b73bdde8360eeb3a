//! A registry with one image in it, for pulling only: OCI distribution specification, version 1.1.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Blob, FunctionImage, INDEX, MANIFEST, TAG};
use crate::function::{Connection, Gone, Head, Incoming, Unread, malformed, status_line};

/// The name of the only image.
const NAME: &str = "conformance-function";

/// A registry that serves the image of the test function to whoever asks, over plain HTTP.
///
/// Clients take that from a loopback address, from others where they are told to. It lets nobody
/// push, and asks for no credentials: bind it where your provider can reach it and others cannot.
#[derive(Debug)]
pub struct ImageRegistry {
    listener: TcpListener,
    address: SocketAddr,
    image: Arc<FunctionImage>,
}

impl ImageRegistry {
    /// Binds it to that address; port 0 is a free one.
    ///
    /// # Errors
    /// That of binding.
    pub async fn bind(address: SocketAddr, image: FunctionImage) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            image: Arc::new(image),
        })
    }

    /// What to deploy: the image by its tag.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{NAME}:{TAG}", self.address)
    }

    /// Serves it until `stop` is done; then transfers that run are cut off.
    ///
    /// # Cancel safety
    /// Dropping it is as good as `stop`.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let image = Arc::clone(&self.image);
                        connections.spawn(serve_one(Connection::new(stream, peer), image));
                    }
                    // Descriptors have run out; others give theirs back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
                () = &mut stop => return,
            }
        }
    }
}

async fn serve_one(mut connection: Connection, image: Arc<FunctionImage>) {
    loop {
        let head = match Head::read(&mut connection).await {
            Ok(head) => head,
            Err(Unread::Malformed(why)) => return malformed(connection, &why).await,
            Err(Unread::Ended) => return,
        };
        let Ok(mut body) = Incoming::of(&head) else {
            return;
        };
        while let Ok(Some(_)) = body.next(&mut connection).await {}
        if !body.is_complete() {
            return;
        }
        let answer = answer(&head, &image);
        if answer.send(&head, &mut connection).await.is_err()
            || !head.is_current()
            || head.lists("connection", "close")
        {
            connection.close().await;
            return;
        }
    }
}

struct Answer<'a> {
    status: u16,
    headers: Vec<String>,
    body: std::borrow::Cow<'a, [u8]>,
}

impl Answer<'_> {
    async fn send(self, head: &Head, connection: &mut Connection) -> Result<(), Gone> {
        let mut bytes = status_line(self.status);
        for header in &self.headers {
            bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
        }
        let length = self.body.len();
        bytes.extend_from_slice(
            format!(
                "Content-Length: {length}\r\nDocker-Distribution-API-Version: registry/2.0\r\n\r\n"
            )
            .as_bytes(),
        );
        connection.send(&bytes).await?;
        if head.method != "HEAD" {
            connection.send(&self.body).await?;
        }
        Ok(())
    }
}

/// What to say to that request.
fn answer<'a>(head: &Head, image: &'a FunctionImage) -> Answer<'a> {
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return refused(405, "UNSUPPORTED", "this registry is for pulling only");
    }
    let path = head.target.split('?').next().unwrap_or_default();
    if matches!(path, "/v2/" | "/v2") {
        return json_answer(200, &json!({}));
    }
    let Some(rest) = path
        .strip_prefix("/v2/")
        .and_then(|rest| rest.strip_prefix(NAME))
    else {
        return refused(404, "NAME_UNKNOWN", "no such image");
    };
    if rest == "/tags/list" {
        return json_answer(200, &json!({"name": NAME, "tags": [TAG]}));
    }
    if let Some(reference) = rest.strip_prefix("/manifests/") {
        let digest = if reference == TAG {
            &image.index
        } else {
            reference
        };
        return match image.blobs.get(digest) {
            Some(blob) if matches!(blob.media_type, MANIFEST | INDEX) => whole(digest, blob),
            _ => refused(404, "MANIFEST_UNKNOWN", "no such manifest"),
        };
    }
    if let Some(digest) = rest.strip_prefix("/blobs/") {
        return match image.blobs.get(digest) {
            Some(blob) => match head.value("range").and_then(|range| part(range, blob)) {
                Some(answer) => answer,
                None => whole(digest, blob),
            },
            None => refused(404, "BLOB_UNKNOWN", "no such blob"),
        };
    }
    refused(404, "NAME_UNKNOWN", "no such image")
}

fn whole<'a>(digest: &str, blob: &'a Blob) -> Answer<'a> {
    Answer {
        status: 200,
        headers: vec![
            format!("Content-Type: {}", blob.media_type),
            format!("Docker-Content-Digest: {digest}"),
            format!("ETag: \"{digest}\""),
            "Accept-Ranges: bytes".to_owned(),
        ],
        body: blob.bytes.as_slice().into(),
    }
}

/// The answer to a range (RFC 9110, section 14); none for what is to be overlooked.
fn part<'a>(range: &str, blob: &'a Blob) -> Option<Answer<'a>> {
    let size = blob.bytes.len();
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = size.saturating_sub(1);
    let (first, last) = match (first, last) {
        ("", suffix) => (size.saturating_sub(suffix.parse().ok()?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(end)),
    };
    let bytes = blob
        .bytes
        .get(first..=last)
        .filter(|bytes| !bytes.is_empty());
    Some(match bytes {
        Some(bytes) => Answer {
            status: 206,
            headers: vec![
                format!("Content-Type: {}", blob.media_type),
                format!("Content-Range: bytes {first}-{last}/{size}"),
            ],
            body: bytes.into(),
        },
        None => Answer {
            status: 416,
            headers: vec![format!("Content-Range: bytes */{size}")],
            body: Vec::new().into(),
        },
    })
}

fn refused(status: u16, code: &str, message: &str) -> Answer<'static> {
    json_answer(
        status,
        &json!({"errors": [{"code": code, "message": message}]}),
    )
}

fn json_answer(status: u16, value: &serde_json::Value) -> Answer<'static> {
    Answer {
        status,
        headers: vec!["Content-Type: application/json".to_owned()],
        body: value.to_string().into_bytes().into(),
    }
}
