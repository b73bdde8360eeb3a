//! The JSON bodies of the provider API, named as `faas-provider` names them.
//!
//! Reading is as lenient as Go's `encoding/json`: keys match in any case, unknown ones are skipped,
//! `null` is taken for every field, broken UTF-8 becomes U+FFFD. One thing is simpler than in Go: a
//! key that comes twice is replaced as a whole, where Go merges objects.
//!
//! Writing gives the bytes that Go's own types give: the order of keys, what is left out when it is
//! empty, escapes, numbers and times.
//!
//! [`from_slice`] and [`to_vec`] are the way in and out. The structs are also serde's `Serialize`
//! and `Deserialize`, for documents of your own; there the other library's rules for strings and
//! numbers hold, and the format must describe itself, as JSON and YAML do.
//!
//! ```
//! use provider_types::wire::{self, FunctionDeployment};
//!
//! let body = br#"{"Service":"figlet","image":"ghcr.io/a/figlet","labels":null,"network":"x"}"#;
//! let deployment: FunctionDeployment = wire::from_slice(body)?;
//! assert_eq!(deployment.service, "figlet");
//! assert_eq!(
//!     wire::to_string(&deployment),
//!     r#"{"service":"figlet","image":"ghcr.io/a/figlet"}"#
//! );
//! # Ok::<(), wire::WireError>(())
//! ```

mod codec;
mod error;
mod events;
mod format;
mod functions;
mod info;
mod queue;
mod stores;
mod text;
mod url;

use serde::Serialize as _;

pub use error::WireError;
pub use events::{Actor, Alert, AlertLabels, ApiAccessEvent, FunctionUsageEvent, PrometheusAlert};
pub use functions::{
    DeleteFunctionRequest, FunctionDeployment, FunctionResources, FunctionStatus, FunctionUsage,
    ScaleServiceRequest,
};
pub use info::{GatewayInfo, ProviderInfo, VersionInfo};
pub use queue::{CallbackUrl, QueueRequest, Userinfo};
pub use stores::{FunctionNamespace, Message, Secret};

/// A body, or a part of one: the structs of this module, and vectors, options and string maps of
/// them. Nothing else can be one.
pub trait Wire: codec::Field {}

impl<T: codec::Field> Wire for T {}

/// Reads a whole body.
///
/// # Errors
/// When it is empty, is no JSON, has more behind the value, or holds a value of the wrong kind. The
/// message names the field and what would be right.
pub fn from_slice<T: Wire>(body: &[u8]) -> Result<T, WireError> {
    if body.trim_ascii().is_empty() {
        return Err(WireError::empty());
    }
    let text = text::lossy(body);
    let mut from = serde_json::Deserializer::from_str(&text);
    let mut value = T::default();
    codec::read(&mut value, &mut from)?;
    from.end()?;
    Ok(value)
}

/// The body of a value, as Go's `json.Marshal` writes it: no spaces, no newline at the end.
pub fn to_vec<T: Wire>(value: &T) -> Vec<u8> {
    to_string(value).into_bytes()
}

/// The body of a value as text.
pub fn to_string<T: Wire>(value: &T) -> String {
    let mut body = Vec::new();
    append(&mut body, value);
    String::from_utf8(body).unwrap_or_default()
}

/// Writes the body of a value after what is there: a long list is written piece by piece.
pub fn append<T: Wire>(body: &mut Vec<u8>, value: &T) {
    let mut to = serde_json::Serializer::with_formatter(body, format::GoFormatter);
    let written = codec::Written(value).serialize(&mut to);
    // The keys are strings and the bytes go to memory: neither can be refused.
    debug_assert!(written.is_ok(), "{written:?}");
}

/// One line of a stream of values, as Go's `json.Encoder` writes it: the body and a newline.
pub fn to_line<T: Wire>(value: &T) -> Vec<u8> {
    let mut line = to_vec(value);
    line.push(b'\n');
    line
}
