//! Credentials for an OpenFaaS provider, and a tower layer that asks for them.
//!
//! * [`CredentialFiles`] reads basic-auth credentials from files named as the Go SDK names them,
//!   and follows the files while the program runs.
//! * [`BasicAuth`] holds credentials, one or several, and compares them in constant time.
//! * [`AuthLayer`] puts an [`Authenticator`] in front of any axum or hyper service. Who calls is
//!   then a [`provider_types::Identity`] in the request's extensions; who may not gets the 401
//!   that OpenFaaS clients know.
//!
//! Nothing here decides which routes are protected: that is where the layer is put.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{Router, body::Body, routing::get};
//! use provider_auth::{AuthLayer, BasicAuth, Credentials};
//! use tower::ServiceExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = BasicAuth::new([Credentials::new("admin", "s3cr3t")?]);
//! let app: Router = Router::new()
//!     .route("/system/info", get(|| async { "hello" }))
//!     .layer(AuthLayer::new(Arc::new(auth)));
//!
//! let request = http::Request::get("/system/info").body(Body::empty())?;
//! assert_eq!(app.clone().oneshot(request).await?.status(), 401);
//!
//! let request = http::Request::get("/system/info")
//!     .header("Authorization", "Basic YWRtaW46czNjcjN0")
//!     .body(Body::empty())?;
//! assert_eq!(app.oneshot(request).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! Credentials from files, replaced while the program runs:
//!
//! ```no_run
//! use provider_auth::CredentialFiles;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut files = CredentialFiles::in_directory("/run/secrets");
//! let auth = files.load()?;
//! tokio::spawn(files.watch(auth.clone()));
//! # Ok(())
//! # }
//! ```
//!
//! Builds with Rust 1.85.

mod authenticator;
mod basic;
mod credentials;
mod files;
mod layer;

pub use authenticator::{AuthError, Authenticator};
pub use basic::BasicAuth;
pub use credentials::{Credentials, CredentialsError};
pub use files::{CredentialFiles, CredentialFilesError, PASSWORD_FILE, USER_FILE};
pub use layer::{AuthBody, AuthFuture, AuthLayer, AuthService};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
