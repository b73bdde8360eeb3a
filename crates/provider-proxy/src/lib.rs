//! Function invocation for OpenFaaS providers: a streaming reverse proxy as a tower service.
//!
//! [`Proxy`] takes requests for `/function/NAME` and `/function/NAME.NAMESPACE`, asks a
//! [`Resolver`](provider_types::Resolver) where the function is, and passes the call on: raw path
//! bytes, any method, both bodies streamed frame by frame, trailers, upgrades. It is cheap to
//! clone and goes into an axum `Router` or a hyper server. Unlike `provider-http` it knows nothing
//! of `/system`, of metrics or of configuration.
//!
//! ```
//! use provider_proxy::{Budgets, HeaderPolicy, Proxy};
//! use provider_types::{Call, Endpoint, FunctionName, ResolveError, Resolver};
//! use std::time::Duration;
//!
//! /// Every function is a program on one port.
//! struct OnePort;
//!
//! impl Resolver for OnePort {
//!     type Lease = Endpoint;
//!
//!     async fn resolve(&self, call: Call<'_>) -> Result<Endpoint, ResolveError> {
//!         if call.function.name.as_str() == "figlet" {
//!             Ok(Endpoint::tcp(([127, 0, 0, 1], 9000).into()))
//!         } else {
//!             Err(ResolveError::NotFound)
//!         }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let proxy = Proxy::builder(OnePort)
//!     .budgets(Budgets { first_byte: Duration::from_secs(30), ..Budgets::default() })
//!     .headers(HeaderPolicy::default())
//!     .build();
//!
//! let request = http::Request::get("/function/unknown")
//!     .body(http_body_util::Empty::<bytes::Bytes>::new())?;
//! let response = proxy.call_from(None, request).await;
//! assert_eq!(response.status(), 404);
//! assert_eq!(response.headers()["x-openfaas-reason"], "function-not-found");
//! # Ok::<(), http::Error>(())
//! # }).unwrap();
//! ```
//!
//! # What it does and does not
//!
//! * Budgets are separate, see [`Budgets`]; a stream that makes progress is cut by none of them
//!   but [`Budgets::total`], which nobody sets by default.
//! * A call is sent twice only if its first connection was found closed before a byte of the
//!   call was written to it, or if no connection could be made at all.
//! * What did not come from the function carries `X-OpenFaaS-Internal: proxy` and an
//!   `X-OpenFaaS-Reason`, see [`Reason`].
//! * A function that dies in mid-response ends the caller's response visibly: the body ends in an
//!   error, on which hyper closes the connection.
//! * Interim replies of the function (1xx) end here; `Expect: 100-continue` is answered by the
//!   server when the function is about to take the body.
//! * Trailers pass both ways; towards the caller only if they were announced in `Trailer` and it
//!   said `TE: trailers`.
//! * Endpoints that speak h2c are answered with 502 and the reason `unsupported` for now.
//!
//! Futures are `Send` and run on any tokio runtime with time and I/O. A connection belongs to the
//! runtime that it was made on, so give each single-threaded runtime a proxy of its own:
//! [`Proxy::for_worker`].

mod address;
mod body;
mod budgets;
mod exchange;
mod forward;
mod headers;
mod observer;
mod pool;
mod proxy;
mod refusal;
mod target;
mod trail;
mod tunnel;
mod upload;
mod upstream;

pub use address::{Peer, TrustedProxy, TrustedProxyError};
pub use body::{BodyError, ProxyBody};
pub use budgets::{Budgets, Knobs};
pub use headers::HeaderPolicy;
pub use observer::{Ended, Observer};
pub use proxy::{Proxy, ProxyBuilder};
pub use refusal::Reason;
