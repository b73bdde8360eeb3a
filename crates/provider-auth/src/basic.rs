//! Basic auth (RFC 7617) against credentials held in memory.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use provider_types::Identity;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{AuthError, Authenticator, Credentials};

/// What OpenFaaS clients are asked for (`faas-provider`: `auth/basic_auth.go`).
const CHALLENGE: &str = "Basic realm=\"Restricted\"";

/// The credentials that are let in, as digests: the passwords themselves are not kept.
///
/// Clones share their credentials, so one clone sits in a layer while another is given new ones.
/// Several may be held at once, the same user with two passwords too; one that holds none lets
/// nobody in.
///
/// Both parts are compared by their SHA-256, in constant time, against all that is held and without
/// stopping at the first difference: the time an answer takes tells neither how long a password is
/// nor whether the user exists.
#[derive(Clone)]
pub struct BasicAuth {
    /// Held for reading while some digests are compared; written only when files change.
    held: Arc<RwLock<Vec<Held>>>,
}

struct Held {
    user: [u8; 32],
    password: [u8; 32],
    identity: Identity,
}

impl BasicAuth {
    /// Lets in whoever brings one of these credentials.
    pub fn new(credentials: impl IntoIterator<Item = Credentials>) -> Self {
        Self {
            held: Arc::new(RwLock::new(digest_all(credentials))),
        }
    }

    /// Lets in whoever brings one of these credentials from now on, and nobody else.
    pub fn replace(&self, credentials: impl IntoIterator<Item = Credentials>) {
        let next = digest_all(credentials);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Looks for a pair among those held.
    fn find(&self, user: &[u8], password: &[u8]) -> Option<Identity> {
        let (user, password) = (digest(user), digest(password));
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for one in held.iter() {
            let same = one.user.ct_eq(&user) & one.password.ct_eq(&password);
            if bool::from(same) {
                found = Some(&one.identity);
            }
        }
        found.cloned()
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("BasicAuth")
            .field(
                "users",
                &held
                    .iter()
                    .map(|one| &*one.identity.name)
                    .collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

impl Authenticator for BasicAuth {
    fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let header = given.next().ok_or(AuthError::Missing)?;
        if given.next().is_some() {
            return Err(AuthError::Repeated);
        }
        let pair = decode(header.as_bytes())?;
        let colon = pair
            .iter()
            .position(|&b| b == b':')
            .ok_or(AuthError::Malformed)?;
        let (user, password) = pair.split_at(colon);
        let password = password.get(1..).unwrap_or_default();
        self.find(user, password).ok_or(AuthError::Invalid)
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(CHALLENGE)
    }
}

fn digest_all(credentials: impl IntoIterator<Item = Credentials>) -> Vec<Held> {
    credentials
        .into_iter()
        .map(|one| Held {
            user: digest(one.user().as_bytes()),
            password: digest(one.password().as_bytes()),
            identity: Identity::new(one.user()),
        })
        .collect()
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Reads `Basic BASE64`: the scheme in any case, then one or more blanks (RFC 9110 section 11.4),
/// then standard base64 with its padding, as Go reads it.
fn decode(header: &[u8]) -> Result<Vec<u8>, AuthError> {
    const SCHEME: &[u8] = b"basic";
    let (scheme, rest) = header
        .split_at_checked(SCHEME.len())
        .ok_or(AuthError::UnknownScheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || rest.first() != Some(&b' ') {
        return Err(AuthError::UnknownScheme);
    }
    STANDARD
        .decode(rest.trim_ascii())
        .map_err(|_| AuthError::Malformed)
}

#[cfg(test)]
mod tests;
