//! What is checked.

use std::fmt;

use crate::gateway::its_own_way;
use crate::wire::{Address, AddressError};
use crate::workload::Workload;

/// A provider, or a gateway in front of one, and what it runs for us.
#[derive(Debug, Clone)]
pub struct Target {
    pub(crate) address: Address,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) role: Role,
    pub(crate) workload: Workload,
}

/// Which API the target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The port of a provider.
    Provider,
    /// The port of a gateway.
    Gateway,
}

/// A user with a password, or a token.
#[derive(Clone)]
pub(crate) enum Credentials {
    Basic { user: String, password: String },
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
        })
    }
}

impl Credentials {
    /// What must not be shown, in every form in which it is sent.
    pub(crate) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Basic { user, password } => vec![password.clone(), encoded(user, password)],
            Self::Bearer(token) => vec![token.clone()],
        }
    }

    /// The value of `Authorization`.
    pub(crate) fn header(&self) -> String {
        match self {
            Self::Basic { user, password } => basic(user, password),
            Self::Bearer(token) => format!("Bearer {token}"),
        }
    }
}

/// The value of `Authorization` for a user and a password. RFC 7617 2.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", encoded(user, password))
}

fn encoded(user: &str, password: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
}

impl Target {
    /// A provider at a URL: `http://HOST:PORT` or `unix:/PATH`.
    ///
    /// # Errors
    /// When the URL is none that the kit can use.
    pub fn new(url: &str, workload: Workload) -> Result<Self, AddressError> {
        Ok(Self {
            address: Address::parse(url)?,
            credentials: None,
            role: Role::Provider,
            workload,
        })
    }

    /// With a user and a password for the API.
    #[must_use]
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::Basic {
            user: user.into(),
            password: password.into(),
        });
        self
    }

    /// With a token for the API.
    #[must_use]
    pub fn bearer_auth(mut self, token: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::Bearer(token.into()));
        self
    }

    /// Why a requirement cannot be judged on such a target; nothing where it can.
    pub(crate) fn beyond_judging(&self, id: &str) -> Option<&'static str> {
        match self.role {
            Role::Provider => None,
            Role::Gateway => its_own_way(id),
        }
    }

    /// The URL is that of a gateway. What a gateway does its own way is then not judged; `SPEC.md`
    /// lists it.
    #[must_use]
    pub fn gateway(mut self) -> Self {
        self.role = Role::Gateway;
        self
    }
}
