//! Basic auth on somebody's axum app, with the credential files of OpenFaaS.
//!
//! `auth_alone [ADDRESS [DIRECTORY]]`: the directory holds `basic-auth-user` and
//! `basic-auth-password`. When they change, the new ones hold.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::error::Error;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use provider_auth::{AuthLayer, CredentialFiles};
use provider_types::Identity;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8080".into());
    let directory = arguments.next().unwrap_or("/run/secrets".into());

    let mut files = CredentialFiles::in_directory(directory);
    let auth = files.load()?;
    tokio::spawn(files.watch(auth.clone()));

    let app = Router::new()
        .route("/whoami", get(whoami))
        // Routes above the layer are protected, those below it are open.
        .layer(AuthLayer::new(Arc::new(auth)))
        .route("/healthz", get(|| async {}));

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// The layer leaves who calls in the request's extensions.
async fn whoami(Extension(identity): Extension<Identity>) -> String {
    format!("{}\n", identity.name)
}
