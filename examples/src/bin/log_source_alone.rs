//! `GET /system/logs` on its own, from this host's journal: what `faas-cli logs` asks a provider.
//!
//! `log_source_alone [ADDRESS]`. Then, for a function `figlet` that need not exist:
//!
//! ```text
//! echo hello | systemd-cat -t openfaas-fn:figlet
//! curl 'http://127.0.0.1:8080/system/logs?name=figlet&follow=1'
//! ```
//!
//! It asks for no credentials, so keep it to loopback; `auth_alone` shows the layer that does.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::error::Error;

use axum::Router;
use provider_logs::{Journald, LogService};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());

    // Any `provider_types::LogSource` can stand here. The service answers whatever is not
    // `GET /system/logs` with 404 or 405 itself, so it can be all there is.
    let logs = LogService::new(Journald::new());
    let app = Router::new().fallback_service(logs);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
