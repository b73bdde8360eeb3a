//! Calls of functions: what reaches the function, what comes back, and what happens where that
//! fails.

pub(super) mod failures;
pub(super) mod replies;
pub(super) mod requests;
pub(super) mod timing;

use serde_json::Value;

use crate::wire::Answer;

/// What the function says that it received; `Null` where the answer is no echo.
fn echo(answer: &Answer) -> Value {
    answer.json().unwrap_or_default()
}

/// A text of the echo.
fn text<'a>(echo: &'a Value, pointer: &str) -> &'a str {
    echo.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The values of a header that the function received.
fn received(echo: &Value, name: &str) -> Vec<String> {
    let headers = echo.get("headers").and_then(Value::as_array);
    let pairs = headers.into_iter().flatten().filter_map(|pair| {
        let part = |index| pair.get(index).and_then(Value::as_str);
        Some((part(0)?, part(1)?))
    });
    pairs
        .filter(|(have, _)| have.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect()
}

/// Bytes of every value; the same as those of the function's `bytes`.
fn bytes(size: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 255).unwrap_or_default();
    (0..size).map(byte).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
