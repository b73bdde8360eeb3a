//! A server that says given bytes, and tells what it was asked.

use std::time::Duration;

use provider_client::{Client, ClientBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a server is to do next on its one connection.
pub(crate) enum Step {
    Say(Vec<u8>),
    /// Waits until this many bytes have come.
    Hear(usize),
    /// Goes on for as long as the client does.
    Wait,
}

pub(crate) fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

/// Takes one connection, reads the head of a request and does the steps. What it heard comes out of
/// the receiver in the end.
pub(crate) async fn server(steps: Vec<Step>) -> (ClientBuilder, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            heard.push(socket.read_u8().await.unwrap());
        }
        for step in steps {
            match step {
                Step::Say(bytes) => socket.write_all(&bytes).await.unwrap(),
                Step::Hear(length) => {
                    let mut more = vec![0; length];
                    socket.read_exact(&mut more).await.unwrap();
                    heard.extend_from_slice(&more);
                }
                Step::Wait => {
                    let _ = socket.read_u8().await;
                }
            }
        }
        drop(socket);
        let heard = String::from_utf8_lossy(&heard).into_owned();
        let _ = sender.send(heard).await;
    });
    (Client::builder(format!("http://{address}")), receiver)
}
