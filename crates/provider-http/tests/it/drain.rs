//! Stopping without a lost call.

use provider_http::Drained;

use crate::support::start;

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let server = start(|s| s).await;
    assert_eq!(server.ask("GET", "/healthz", "").await.status, 200);
    let address = server.address;
    assert_eq!(server.stop().await, Drained::Clean);
    assert!(std::net::TcpStream::connect(address).is_err());
}
