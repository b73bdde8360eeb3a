//! A body that is not what it should be.

use std::fmt;

/// Says where a body is wrong and what would be right, never what stood there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError(String);

impl WireError {
    pub(super) fn empty() -> Self {
        Self("the body is empty: unexpected end of JSON input".to_owned())
    }
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WireError {}

impl From<WireError> for crate::ProviderError {
    fn from(error: WireError) -> Self {
        Self::invalid(error.0)
    }
}
