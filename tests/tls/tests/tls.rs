//! The client over TLS, against a real server with a certificate of its own authority.
//!
//! The certificates are for 127.0.0.1, made by `openssl`, and good for a hundred years; the key of
//! the authority was thrown away.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use provider_client::{Client, Error};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const AUTHORITY: &[u8] = include_bytes!("certificates/authority.pem");
const SERVER: &[u8] = include_bytes!("certificates/server.pem");
const KEY: &[u8] = include_bytes!("certificates/server.key");
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that has no functions, over TLS.
async fn server() -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust it leaves.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                heard.push(stream.read_u8().await.unwrap());
            }
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
            stream.write_all(reply).await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    format!("https://{address}")
}

/// A reqwest that trusts these authorities and no other.
fn trusting(authorities: &[&[u8]]) -> reqwest::ClientBuilder {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(CertificateDer::from_pem_slice(authority).unwrap())
            .unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(config)
}

#[tokio::test]
async fn a_provider_with_a_trusted_certificate_is_called() {
    let client = Client::builder(server().await)
        .http(trusting(&[AUTHORITY]))
        .build()
        .unwrap();
    let listed = tokio::time::timeout(PATIENCE, client.functions(None)).await;
    assert!(listed.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn one_with_another_certificate_is_not_and_the_cause_is_told() {
    let url = server().await;
    let client = Client::builder(&url).http(trusting(&[])).build().unwrap();
    let refused = tokio::time::timeout(PATIENCE, client.functions(None)).await;
    let error = refused.unwrap().unwrap_err();
    assert_eq!(error.to_string(), format!("no connection to {url}"));
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(one) = cause {
        causes.push(one.to_string());
        cause = one.source();
    }
    assert!(
        causes.iter().any(|one| one.contains("UnknownIssuer")),
        "{causes:?}"
    );
}

#[tokio::test]
async fn an_address_with_tls_needs_a_client_with_tls() {
    let error = Client::builder("https://127.0.0.1:1").build().unwrap_err();
    assert!(matches!(error, Error::Url { .. }), "{error}");
}
