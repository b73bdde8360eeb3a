//! Names, parsed once at the edge: a handler never sees a raw string that names something.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The namespace that an absent or empty namespace stands for.
///
/// `faas-cli invoke` without `-n` asks for this one by name, so a provider that calls its default
/// otherwise cannot be invoked that way.
pub const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// A name that is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    what: &'static str,
    given: String,
    rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, given: &str, rule: &'static str) -> Self {
        // A client's own bytes come back to it; keep a hostile name from filling the reply.
        let mut shown: String = given.chars().take(80).collect();
        if shown.len() < given.len() {
            shown.push('…');
        }
        Self {
            what,
            given: shown,
            rule,
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.given.is_empty() {
            write!(f, "{} is required: {}", self.what, self.rule)
        } else {
            write!(
                f,
                "{} {:?} is invalid: {}",
                self.what, self.given, self.rule
            )
        }
    }
}

impl std::error::Error for NameError {}

/// Which names a back-end takes for its functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameRule {
    /// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 63 characters: a DNS label.
    #[default]
    DnsLabel,
    /// `[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?`, at most 253 characters. A function whose name
    /// has a dot can be invoked only as `NAME.NAMESPACE`.
    Dotted,
}

const DNS_LABEL: &str =
    "use a-z, 0-9 and '-', starting and ending with a letter or digit, at most 63 characters";
const DOTTED: &str = "use A-Z, a-z, 0-9, '-', '_' and '.', starting and ending with a letter or \
                      digit, at most 253 characters";

fn is_dns_label(name: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            bytes.len() <= 63
                && edge(first)
                && edge(last)
                && bytes.iter().all(|&b| edge(b) || b == b'-')
        }
        _ => false,
    }
}

fn is_dotted(name: &str) -> bool {
    let bytes = name.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            bytes.len() <= 253
                && first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        }
        _ => false,
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a function.
    FunctionName
}

impl FunctionName {
    /// Reads a name under the usual rule, [`NameRule::DnsLabel`].
    ///
    /// # Errors
    /// When the name breaks the rule; the message says which rule that is.
    pub fn new(name: &str) -> Result<Self, NameError> {
        Self::with_rule(name, NameRule::DnsLabel)
    }

    /// Reads a name under a rule that the back-end has widened.
    ///
    /// # Errors
    /// When the name breaks the rule; the message says which rule that is.
    pub fn with_rule(name: &str, rule: NameRule) -> Result<Self, NameError> {
        let (holds, words) = match rule {
            NameRule::DnsLabel => (is_dns_label(name), DNS_LABEL),
            NameRule::Dotted => (is_dotted(name), DOTTED),
        };
        if holds {
            Ok(Self(name.into()))
        } else {
            Err(NameError::new("function name", name, words))
        }
    }
}

name! {
    /// The name of a namespace: a DNS label, so that the last dot of `NAME.NAMESPACE` splits.
    Namespace
}

impl Namespace {
    /// Reads a namespace's name. An empty one is an error here; the caller knows the default.
    ///
    /// # Errors
    /// When the name is not a DNS label of at most 63 characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if is_dns_label(name) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::new("namespace", name, DNS_LABEL))
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self(DEFAULT_NAMESPACE.into())
    }
}

name! {
    /// The name of a secret: also a file name, so it can never lead out of its directory.
    SecretName
}

impl SecretName {
    /// Reads a secret's name.
    ///
    /// # Errors
    /// When the name breaks `[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?` or is longer than 253.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if is_dotted(name) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::new("secret name", name, DOTTED))
        }
    }
}

/// A function within its namespace. Shown as `NAME.NAMESPACE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionRef {
    /// Where the function lives.
    pub namespace: Namespace,
    /// What it is called there.
    pub name: FunctionName,
}

impl FunctionRef {
    /// Puts a name and a namespace together.
    #[must_use]
    pub fn new(name: FunctionName, namespace: Namespace) -> Self {
        Self { namespace, name }
    }

    /// Reads `NAME` or `NAME.NAMESPACE`, as they stand below `/function/`: split at the last dot.
    ///
    /// # Errors
    /// When either part breaks its rule.
    pub fn parse_dotted(text: &str, default: &Namespace) -> Result<Self, NameError> {
        Self::parse_dotted_with(text, default, NameRule::DnsLabel)
    }

    /// The same under a rule that the back-end has widened.
    ///
    /// # Errors
    /// When either part breaks its rule.
    pub fn parse_dotted_with(
        text: &str,
        default: &Namespace,
        rule: NameRule,
    ) -> Result<Self, NameError> {
        match text.rsplit_once('.') {
            Some((name, namespace)) => Ok(Self {
                name: FunctionName::with_rule(name, rule)?,
                namespace: Namespace::new(namespace)?,
            }),
            None => Ok(Self {
                name: FunctionName::with_rule(text, rule)?,
                namespace: default.clone(),
            }),
        }
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_names_are_dns_labels() {
        for good in ["a", "0", "a-b", "figlet", "a--b", &"x".repeat(63)] {
            assert_eq!(FunctionName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a/b",
            "..",
            "a_b",
            "é",
            "a b",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(FunctionName::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn the_last_dot_splits() {
        let default = Namespace::default();
        let dotted = FunctionRef::parse_dotted_with("a.b.c", &default, NameRule::Dotted).unwrap();
        assert_eq!(
            (dotted.name.as_str(), dotted.namespace.as_str()),
            ("a.b", "c")
        );
        assert!(FunctionRef::parse_dotted("a.", &default).is_err());
        assert!(FunctionRef::parse_dotted(".a", &default).is_err());
        assert!(FunctionRef::parse_dotted("a.b.c", &default).is_err());
    }

    #[test]
    fn secret_names_never_leave_their_directory() {
        for bad in ["", ".", "..", "../x", "a/b", "a/", ".hidden", "a\0", "x."] {
            assert!(SecretName::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(SecretName::new("API_key.v2").is_ok());
    }

    #[test]
    fn errors_say_what_was_given_and_what_would_be_right() {
        let error = FunctionName::new("Bad_Name").unwrap_err().to_string();
        assert!(
            error.contains("\"Bad_Name\"") && error.contains("a-z"),
            "{error}"
        );
        let long = FunctionName::new(&"Z".repeat(10_000))
            .unwrap_err()
            .to_string();
        assert!(long.len() < 300, "{long}");
    }
}
