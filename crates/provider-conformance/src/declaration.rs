//! A file in which a provider's authors say what it keeps to.

use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

use crate::suite::{SuiteBuilder, SuiteError};

/// What a declaration says, as JSON:
///
/// ```json
/// {
///   "features": ["secrets", "logs", "dotted-names"],
///   "skip": [],
///   "not-applicable": [{"id": "OFP-FUN-049", "reason": "it has no clock"}],
///   "known-deviations": [
///     {"id": "OFP-SEC-014", "reason": "PUT creates; issue 12", "until": "2027-06-30"}
///   ]
/// }
/// ```
///
/// Every member may be left out; one that is unknown is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Declaration {
    /// Profiles and features; `core` always is one.
    pub features: Vec<String>,
    /// Requirements, areas or cases that are not judged.
    pub skip: Vec<String>,
    /// Requirements that cannot apply.
    pub not_applicable: Vec<Exemption>,
    /// Requirements that are known not to hold.
    pub known_deviations: Vec<KnownDeviation>,
}

/// A requirement that cannot apply.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Exemption {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// A requirement that is known not to hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KnownDeviation {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The last day on which that is accepted, `2027-06-30`.
    pub until: String,
}

/// What is wrong with a declaration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeclarationError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] std::io::Error),
    /// It is no JSON, or has a member that there is not.
    #[error("it is no declaration")]
    Json(#[from] serde_json::Error),
}

impl Declaration {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no declaration.
    pub fn read(path: &Path) -> Result<Self, DeclarationError> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

impl SuiteBuilder {
    /// Says all that a declaration says.
    ///
    /// # Errors
    /// When it names what there is not.
    pub fn declaration(self, said: &Declaration) -> Result<Self, SuiteError> {
        let mut builder = self.declared_by("file");
        for name in &said.features {
            builder = builder.declare(name)?;
        }
        for what in &said.skip {
            builder = builder.skip(what)?;
        }
        for one in &said.not_applicable {
            builder = builder.not_applicable(&one.id, &one.reason)?;
        }
        for one in &said.known_deviations {
            builder = builder.deviation(&one.id, &one.reason, &one.until)?;
        }
        Ok(builder)
    }
}
