//! A server around a source, and a client that reads it line by line.

use std::net::SocketAddr;
use std::time::Duration;

use provider_logs::LogService;
use provider_types::LogSource;
use serde_json::Value;

/// Long enough for any machine; no test waits for it unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Serves a source on a free port.
pub(crate) async fn serve(source: impl LogSource) -> SocketAddr {
    let app = axum::Router::new().fallback_service(LogService::new(source));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A reply that is being read.
pub(crate) struct Reply {
    pub(crate) response: reqwest::Response,
    read: Vec<u8>,
}

impl Reply {
    /// Asks; the headers have come when this returns.
    pub(crate) async fn get(address: SocketAddr, query: &str) -> Self {
        let url = format!("http://{address}/system/logs?{query}");
        let asked = tokio::time::timeout(PATIENCE, reqwest::get(url));
        Self {
            response: asked.await.expect("no headers came").unwrap(),
            read: Vec::new(),
        }
    }

    /// The next line, parsed; `None` at the end of the stream, `Err` where it breaks off.
    pub(crate) async fn line(&mut self) -> Result<Option<Value>, reqwest::Error> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line).unwrap()));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk());
            match chunk.await.expect("no line came")? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => {
                    assert_eq!(self.read, b"", "a line without its newline");
                    return Ok(None);
                }
            }
        }
    }

    /// The text of the next line, which must come.
    pub(crate) async fn text(&mut self) -> String {
        let line = self.line().await.unwrap().expect("the stream has ended");
        line["text"].as_str().unwrap().to_owned()
    }

    /// The texts of all lines to the end.
    pub(crate) async fn texts(mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(line) = self.line().await.unwrap() {
            texts.push(line["text"].as_str().unwrap().to_owned());
        }
        texts
    }
}
