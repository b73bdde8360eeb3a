//! Function invocation alone, with a resolver of one's own: functions are given by hand.
//!
//! `proxy_alone [ADDRESS [NAME=ADDRESS]...]`, for example
//! `proxy_alone 127.0.0.1:8080 figlet=127.0.0.1:9000 shop=127.0.0.1:9001 shop=127.0.0.1:9002`:
//!
//! ```text
//! curl 'http://127.0.0.1:8080/function/figlet/any/path?and=query' -d hello
//! ```
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{ConnectInfo, Request};
use axum::{Router, middleware};
use provider_proxy::{Peer, Proxy};
use provider_types::{Call, Endpoint, FunctionName, ResolveError, Resolver};
use tokio::net::TcpListener;

/// Where each function's replicas listen. They take turns.
#[derive(Default)]
struct Table {
    replicas: HashMap<FunctionName, Vec<Endpoint>>,
    turn: AtomicUsize,
}

impl Resolver for Table {
    // Nobody counts the calls here, so the endpoint itself will do. A resolver that limits calls
    // or drains replicas has a type of its own, which is told how the call went and gives its place
    // back when it is dropped.
    type Lease = Endpoint;

    async fn resolve(&self, call: Call<'_>) -> Result<Endpoint, ResolveError> {
        let replicas = self
            .replicas
            .get(&call.function.name)
            .ok_or(ResolveError::NotFound)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        replicas
            .iter()
            .cycle()
            .skip(turn % replicas.len())
            .take(replicas.len())
            // A replica that just took no connection is not tried again for the same call.
            .find(|replica| call.avoid != Some(*replica))
            .cloned()
            .ok_or_else(ResolveError::not_ready)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8080".into());
    let mut table = Table::default();
    for argument in arguments {
        let (name, replica) = argument
            .split_once('=')
            .ok_or_else(|| format!("{argument:?} is not NAME=ADDRESS"))?;
        table
            .replicas
            .entry(FunctionName::new(name)?)
            .or_default()
            .push(Endpoint::tcp(replica.parse()?));
    }

    let proxy = Proxy::builder(table).build();
    let app = Router::new()
        .route_service("/function/{*path}", proxy)
        .layer(middleware::map_request(with_peer))
        .into_make_service_with_connect_info::<SocketAddr>();

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// Tells the proxy who calls, for `X-Forwarded-For`.
async fn with_peer(ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(Peer::from(address));
    request
}
