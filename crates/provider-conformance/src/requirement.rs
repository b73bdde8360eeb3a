//! What a requirement is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One numbered requirement of the specification.
///
/// Its id never changes and is never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Requirement {
    /// `OFP-<area>-<number>`, for example `OFP-INV-007`.
    pub id: &'static str,
    /// Whether a provider that does not keep it is non-conformant.
    pub level: Level,
    /// The group of requirements that it is declared with.
    pub profile: Profile,
    /// What a provider must declare besides the profile for it to apply.
    pub feature: Option<Feature>,
    /// The version of the specification that it came with.
    pub since: &'static str,
    /// One or two sentences that say who does what.
    pub text: &'static str,
    /// Who needs it: a client's source, a section of an RFC; or that it is our choice.
    pub source: &'static str,
}

impl Requirement {
    /// The area in the id: `INV` of `OFP-INV-007`.
    #[must_use]
    pub fn area(&self) -> &'static str {
        self.id.split('-').nth(1).unwrap_or_default()
    }

    /// The same requirement, which applies only where the feature is declared.
    pub(crate) const fn with(mut self, feature: Feature) -> Self {
        self.feature = Some(feature);
        self
    }
}

/// A requirement that `faas-cli`, `go-sdk`, the gateway or an RFC needs, or one of `hardening`.
pub(crate) const fn must(
    id: &'static str,
    profile: Profile,
    text: &'static str,
    source: &'static str,
) -> Requirement {
    Requirement {
        id,
        level: Level::Must,
        profile,
        feature: None,
        since: "0.1.0",
        text,
        source,
    }
}

/// A requirement that makes a provider better and that no client stops without.
pub(crate) const fn should(
    id: &'static str,
    profile: Profile,
    text: &'static str,
    source: &'static str,
) -> Requirement {
    Requirement {
        level: Level::Should,
        ..must(id, profile, text, source)
    }
}

/// How binding a requirement is, as in RFC 2119.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A provider that does not keep it is non-conformant.
    Must,
    /// A provider that does not keep it is told so; the verdict stays as it is.
    Should,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        })
    }
}

macro_rules! names {
    ($(#[$about:meta])* $kind:ident { $($variant:ident = $name:literal, $doc:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $kind {
            $(#[doc = $doc] #[serde(rename = $name)] $variant,)+
        }

        impl $kind {
            /// All of them, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that it is declared by.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it says of a provider, in a sentence.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc,)+
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

names! {
    /// A group of requirements that a provider declares to keep. `core` is always declared.
    Profile {
        Core = "core", "Functions are deployed, listed, updated, deleted and called.",
        Secrets = "secrets", "Secrets are kept and reach functions.",
        Logs = "logs", "What functions write can be read.",
        Scale = "scale", "A function can have several replicas.",
        ScaleZero = "scale-zero", "A function can have no replica.",
        Namespaces = "namespaces", "Namespaces can be made, and keep functions and secrets apart.",
        Streaming = "streaming", "Replies reach their caller as they are made.",
        Upgrade = "upgrade", "Connections to functions can be upgraded, to WebSocket for example.",
        Auth = "auth", "The API asks for credentials.",
        Metrics = "metrics", "Requests to the API are counted.",
        Hardening = "hardening", "Hostile input does no harm.",
    }
}

names! {
    /// Something that a provider may have besides its profiles, declared by its own name.
    Feature {
        DottedNames = "dotted-names", "A function's name may contain dots.",
        Usage = "usage", "The status of a function says what it uses, when asked.",
        WakeOnCall = "wake-on-call", "A call of a function that has no replica starts one.",
        Trailers = "trailers", "Trailers pass in both directions.",
        InterimReplies = "interim-replies", "Interim replies of a function, such as 103, reach its caller.",
        ShortTimeout = "short-timeout", "For this run, the time limit for the first byte of a reply is at most 3 s.",
    }
}
