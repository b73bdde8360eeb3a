//! The client, and how its calls are made.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WARNING};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use provider_types::wire::{self, Wire};
use reqwest::RequestBuilder;

use crate::address::Address;
use crate::{Error, Refused};

/// As `faas-cli` waits.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer that is read whole: a list of some hundred thousand functions.
const MAX_ANSWER: usize = 256 * 1024 * 1024;
/// Bytes that are kept of a refusal.
const MAX_REFUSAL: usize = 64 * 1024;

/// A client of a provider, or of a gateway in front of one. See the [crate's page](crate).
///
/// Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

/// Configures a [`Client`].
#[derive(Debug)]
#[must_use = "call build to get a client"]
pub struct ClientBuilder {
    url: String,
    credentials: Credentials,
    timeout: Duration,
    connect_timeout: Duration,
    user_agent: String,
    http: Option<reqwest::ClientBuilder>,
}

enum Credentials {
    None,
    Basic { user: String, password: String },
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// What a call that changes something was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// 200, 201 or 202. With 202 the work goes on after the answer.
    pub status: StatusCode,
    /// What the provider could not do as it was asked, as `Warning` headers say it.
    pub warnings: Vec<String>,
}

impl ClientBuilder {
    /// Shows a user and a password to everything but functions. RFC 7617.
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Credentials::Basic {
            user: user.into(),
            password: password.into(),
        };
        self
    }

    /// Shows a token to everything but functions. RFC 6750.
    pub fn bearer_auth(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Bearer(token.into());
        self
    }

    /// How long a call may take, until its answer is read whole; of an answer that is a stream,
    /// until it begins. A minute by default, as with `faas-cli`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long it may take to connect. 5 seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How it calls itself. `provider-client/VERSION` by default.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Makes calls by a reqwest of your configuration: with TLS for `https`, authorities of your
    /// own, client certificates, a proxy. What this builder says of names and times, and that
    /// redirects are not followed, holds over it.
    ///
    /// TLS is not a feature of this crate: whichever were chosen here would be chosen for every
    /// other user of reqwest in your build. Depend on reqwest with the one you want:
    ///
    /// ```no_run
    /// # use provider_client::{Client, Error};
    /// # fn example() -> Result<Client, Error> {
    /// // reqwest = { version = "0.13", features = ["rustls"] }
    /// Client::builder("https://gateway.example.com")
    ///     .http(reqwest::Client::builder())
    ///     .build()
    /// # }
    /// ```
    pub fn http(mut self, http: reqwest::ClientBuilder) -> Self {
        self.http = Some(http);
        self
    }

    /// The client. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`Error::Url`] when the address is none, or one of `https` without
    /// [`http`](ClientBuilder::http), [`Error::Request`] when the credentials or the name cannot be
    /// put into a header.
    pub fn build(self) -> Result<Client, Error> {
        let address = Address::parse(&self.url)?;
        let http = match self.http {
            Some(http) => http,
            None if address.base.starts_with("https:") => {
                return Err(Error::Url {
                    url: self.url,
                    problem: "this client speaks TLS only by a reqwest that does; give it one"
                        .to_owned(),
                });
            }
            // What an environment says of proxies is meant for other calls than those to a
            // provider; a gateway is named by its address.
            None => reqwest::Client::builder().no_proxy(),
        };
        let mut http = http
            .user_agent(self.user_agent)
            .connect_timeout(self.connect_timeout)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(socket) = &address.socket {
            http = http.unix_socket(socket.as_path());
        }
        let http = http.build().map_err(Error::Request)?;
        let authorization = match &self.credentials {
            Credentials::None => None,
            // reqwest knows how they are written.
            Credentials::Basic { user, password } => {
                authorization(http.get(&address.base).basic_auth(user, Some(password)))?
            }
            Credentials::Bearer(token) => {
                authorization(http.get(&address.base).bearer_auth(token))?
            }
        };
        Ok(Client {
            http,
            address,
            authorization,
            timeout: self.timeout,
        })
    }
}

fn authorization(request: RequestBuilder) -> Result<Option<HeaderValue>, Error> {
    let request = request.build().map_err(Error::Request)?;
    Ok(request.headers().get(AUTHORIZATION).cloned())
}

impl Client {
    /// Starts to configure a client of what listens there: `http://HOST:PORT`, with a path in front
    /// of the API if need be, `https://HOST` with [`ClientBuilder::http`], or `unix:PATH`.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            credentials: Credentials::None,
            timeout: TIMEOUT,
            connect_timeout: Duration::from_secs(5),
            user_agent: concat!("provider-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            http: None,
        }
    }

    /// The same client with another time limit, for calls that may take longer.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// The same client without credentials.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self {
            authorization: None,
            ..self.clone()
        }
    }

    /// Where it calls, as a URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.address.base
    }

    /// Makes any call, with the client's credentials, and reads its answer whole, whatever it is.
    /// The request's URI is a path and a query, such as `/system/info`.
    ///
    /// # Errors
    /// When there is no answer, or more than 256 MiB of it.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let (head, body) = request.into_parts();
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let request = self
            .request(head.method, target, true)
            .headers(head.headers)
            .body(body);
        self.in_time(async {
            let answer = self.send(request).await?;
            let (status, headers, version) =
                (answer.status(), answer.headers().clone(), answer.version());
            let mut response = Response::new(whole(answer, MAX_ANSWER).await?);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            *response.version_mut() = version;
            Ok(response)
        })
        .await
    }

    pub(crate) fn request(
        &self,
        method: Method,
        target: &str,
        shows_credentials: bool,
    ) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{target}", self.address.base));
        match self.authorization.as_ref().filter(|_| shows_credentials) {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    pub(crate) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout(self.timeout)),
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, Error> {
        request.send().await.map_err(|source| {
            if source.is_connect() {
                let url = match &self.address.socket {
                    Some(path) => format!("unix:{}", path.display()),
                    None => self.address.base.clone(),
                };
                Error::Connect { url, source }
            } else {
                broken(source)
            }
        })
    }

    /// Makes a call whose answer is a stream; what the API does not promise is a refusal.
    pub(crate) async fn open(
        &self,
        target: &str,
        request: RequestBuilder,
    ) -> Result<reqwest::Response, Error> {
        self.in_time(async {
            let answer = self.send(request).await?;
            checked(format!("GET {target}"), answer, &[StatusCode::OK]).await
        })
        .await
    }

    async fn ask(
        &self,
        method: Method,
        target: &str,
        body: Option<Vec<u8>>,
        good: &[StatusCode],
    ) -> Result<(String, HeaderMap, StatusCode, Bytes), Error> {
        let call = format!("{method} {target}");
        let mut request = self.request(method, target, true);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        self.in_time(async {
            let answer = self.send(request).await?;
            let answer = checked(call.clone(), answer, good).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok((call, headers, status, whole(answer, MAX_ANSWER).await?))
        })
        .await
    }

    /// Reads what a route gives.
    pub(crate) async fn get<T: Wire>(&self, target: &str) -> Result<T, Error> {
        // Secrets are listed with 202 by some providers, and `faas-cli` takes that.
        let good = [StatusCode::OK, StatusCode::ACCEPTED];
        let (call, _, _, body) = self.ask(Method::GET, target, None, &good).await?;
        read(call, body)
    }

    /// Reads text.
    pub(crate) async fn get_text(&self, target: &str) -> Result<String, Error> {
        let good = [StatusCode::OK, StatusCode::NO_CONTENT];
        let (_, _, _, body) = self.ask(Method::GET, target, None, &good).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Changes something.
    pub(crate) async fn change<T: Wire>(
        &self,
        method: Method,
        target: &str,
        body: &T,
    ) -> Result<Accepted, Error> {
        let good = [StatusCode::OK, StatusCode::CREATED, StatusCode::ACCEPTED];
        let body = wire::to_vec(body);
        let (_, headers, status, _) = self.ask(method, target, Some(body), &good).await?;
        Ok(Accepted {
            status,
            warnings: warnings(&headers),
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("authorization", &self.authorization.is_some())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

pub(crate) fn read<T: Wire>(call: String, body: Bytes) -> Result<T, Error> {
    wire::from_slice(&body).map_err(|source| Error::Decode { call, body, source })
}

pub(crate) fn broken(error: reqwest::Error) -> Error {
    if error.is_builder() {
        Error::Request(error)
    } else {
        Error::Transport(error)
    }
}

/// The answer, if it has one of these statuses.
pub(crate) async fn checked(
    call: String,
    answer: reqwest::Response,
    good: &[StatusCode],
) -> Result<reqwest::Response, Error> {
    let status = answer.status();
    if good.contains(&status) {
        return Ok(answer);
    }
    let headers = answer.headers().clone();
    // What it says beyond this helps nobody.
    let body = some(answer, MAX_REFUSAL).await;
    Err(Error::Status(Box::new(Refused {
        call,
        status,
        headers,
        body,
    })))
}

async fn whole(mut answer: reqwest::Response, most: usize) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > most {
            return Err(Error::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The beginning of an answer, as far as it comes.
async fn some(mut answer: reqwest::Response, most: usize) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= most {
            body.truncate(most);
            break;
        }
    }
    body.freeze()
}

/// What `Warning: 299 - "TEXT"` headers say. RFC 7234 5.5.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(WARNING).iter().filter_map(|value| {
        let (_, quoted) = value.to_str().ok()?.split_once('"')?;
        let text = quoted.rsplit_once('"').map_or(quoted, |(text, _)| text);
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    });
    texts.collect()
}
