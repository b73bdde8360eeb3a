//! One pair of user and password.

use std::fmt;

/// A user and a password, neither of them empty. `Debug` shows the user only.
///
/// Go: `auth.BasicAuthCredentials`, which takes empty ones too and then lets in whoever sends none.
#[doc(alias = "BasicAuthCredentials")]
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

/// A user and password that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The user is empty or blank.
    #[error("the user is empty")]
    EmptyUser,
    /// The password is empty or blank.
    #[error("the password is empty")]
    EmptyPassword,
    /// The user holds a colon. On the wire the first colon ends the user (RFC 7617 section 2), so
    /// nobody could ever log in.
    #[error("the user contains ':', which basic auth cannot carry")]
    ColonInUser,
}

impl Credentials {
    /// Puts a user and a password together, as they are: nothing is trimmed.
    ///
    /// # Errors
    /// When either is empty or blank, or the user contains a colon.
    pub fn new(
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<Self, CredentialsError> {
        let (user, password) = (user.into(), password.into());
        if user.trim().is_empty() {
            Err(CredentialsError::EmptyUser)
        } else if user.contains(':') {
            Err(CredentialsError::ColonInUser)
        } else if password.trim().is_empty() {
            Err(CredentialsError::EmptyPassword)
        } else {
            Ok(Self { user, password })
        }
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, for whoever has to send it. Keep it out of logs.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, password: _ } = self;
        f.debug_struct("Credentials")
            .field("user", user)
            .field("password", &format_args!("<redacted>"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_log_in_is_refused() {
        for (user, password, error) in [
            ("", "p", CredentialsError::EmptyUser),
            (" \t", "p", CredentialsError::EmptyUser),
            ("u", "", CredentialsError::EmptyPassword),
            ("u", "\n", CredentialsError::EmptyPassword),
            ("u:v", "p", CredentialsError::ColonInUser),
        ] {
            assert_eq!(
                Credentials::new(user, password),
                Err(error),
                "{user:?} {password:?}"
            );
        }
        assert!(Credentials::new("u", "p:q").is_ok());
    }

    #[test]
    fn debug_hides_the_password() {
        let shown = format!("{:?}", Credentials::new("admin", "hunter2").unwrap());
        assert!(shown.contains("admin"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
