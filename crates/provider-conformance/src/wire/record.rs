//! Everything that went over the wire, for those who must find out what was wrong.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How much of a body is kept.
const BODY: usize = 4096;
/// How much of anything is kept.
const MOST: usize = 16 * 1024;

/// Keeps what the connections of one case sent and received, without what must not be shown.
#[derive(Debug, Clone)]
pub struct Recorder {
    kept: Arc<Mutex<Kept>>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Kept {
    connections: Vec<Vec<Entry>>,
    hidden: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Entry {
    direction: Direction,
    at: Duration,
    bytes: Vec<u8>,
    /// With those that were not kept.
    total: u64,
}

/// What was said over one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exchange {
    /// In the order of time.
    pub said: Vec<Said>,
}

/// What one side said before the other side did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Said {
    /// Who said it.
    pub direction: Direction,
    /// When it began, in milliseconds from the start of the case.
    pub at_ms: u64,
    /// The bytes as text: line ends as line ends, other control characters as `\xNN`.
    pub text: String,
    /// How many bytes it was; more than `text` has where it was cut.
    pub bytes: u64,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The kit.
    Sent,
    /// The provider.
    Received,
    /// Nobody: what happened to the connection.
    Event,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// One that has recorded nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kept: Arc::default(),
            start: Instant::now(),
        }
    }

    /// These bytes are shown nowhere.
    pub(crate) fn hide(&self, bytes: &[u8]) {
        if bytes.len() >= 4 {
            self.with(|kept| kept.hidden.push(bytes.to_vec()));
        }
    }

    pub(super) fn connection(&self) -> usize {
        self.with(|kept| {
            kept.connections.push(Vec::new());
            kept.connections.len() - 1
        })
    }

    pub(super) fn note(&self, connection: usize, direction: Direction, bytes: &[u8]) {
        let at = self.start.elapsed();
        self.with(|kept| {
            let Some(entries) = kept.connections.get_mut(connection) else {
                return;
            };
            match entries.last_mut() {
                Some(last) if last.direction == direction && direction != Direction::Event => {
                    last.total += bytes.len() as u64;
                    let room = MOST.saturating_sub(last.bytes.len());
                    last.bytes.extend(bytes.iter().take(room));
                }
                _ => entries.push(Entry {
                    direction,
                    at,
                    bytes: bytes.iter().take(MOST).copied().collect(),
                    total: bytes.len() as u64,
                }),
            }
        });
    }

    /// All of it as text, fit to be shown.
    #[must_use]
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.with(|kept| {
            let said = |entry: &Entry| Said {
                direction: entry.direction,
                at_ms: u64::try_from(entry.at.as_millis()).unwrap_or(u64::MAX),
                text: shown(&entry.bytes, &kept.hidden),
                bytes: entry.total,
            };
            kept.connections
                .iter()
                .map(|entries| Exchange {
                    said: entries.iter().map(said).collect(),
                })
                .collect()
        })
    }

    /// The text without what must not be shown.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let bytes = self.with(|kept| without(text.as_bytes().to_vec(), &kept.hidden));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Something that was said, for tests of what is made of it.
    #[cfg(test)]
    pub(crate) fn sample(&self, bytes: &[u8]) {
        let connection = self.connection();
        self.note(connection, Direction::Sent, bytes);
    }

    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn shown(bytes: &[u8], hidden: &[Vec<u8>]) -> String {
    let bytes = without(bytes.to_vec(), hidden);
    let body = super::body::find(&bytes, b"\r\n\r\n").map_or(0, |at| at + 4);
    let bytes = bytes.get(..body + BODY).unwrap_or(&bytes);
    let mut text = String::new();
    let mut after_return = false;
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' => text.push_str(if after_return { "\n" } else { "\\n\n" }),
                '\r' | '\t' => {}
                letter if letter.is_control() => {
                    text.push_str(&format!("\\x{:02x}", u32::from(letter)));
                }
                letter => text.push(letter),
            }
            if letter == '\t' {
                text.push('\t');
            }
            after_return = letter == '\r';
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    without_credentials(&text)
}

fn without(mut bytes: Vec<u8>, hidden: &[Vec<u8>]) -> Vec<u8> {
    for secret in hidden {
        while let Some(at) = super::body::find(&bytes, secret) {
            bytes.splice(at..at + secret.len(), *b"***");
        }
    }
    bytes
}

fn without_credentials(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let name = line.split(':').next().unwrap_or_default();
        let secret = [
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
        ];
        lines.push(if secret.iter().any(|one| name.eq_ignore_ascii_case(one)) {
            format!("{name}: ***")
        } else {
            line.to_owned()
        });
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Direction, Recorder};

    #[test]
    fn credentials_and_values_of_secrets_are_shown_nowhere() {
        let recorder = Recorder::new();
        recorder.hide(b"hunter22");
        let connection = recorder.connection();
        let sent = b"POST / HTTP/1.1\r\naUthorization: Basic abc\r\n\r\n{\"value\":\"hunter22\"}";
        recorder.note(connection, Direction::Sent, sent);
        let text = &recorder.exchanges()[0].said[0].text;
        assert!(
            !text.contains("abc") && !text.contains("hunter22"),
            "{text}"
        );
        assert!(text.contains("aUthorization: ***"), "{text}");
        assert_eq!(recorder.redacted("it says hunter22"), "it says ***");
    }

    #[test]
    fn bodies_are_cut_and_their_length_is_known() {
        let recorder = Recorder::new();
        let connection = recorder.connection();
        recorder.note(connection, Direction::Received, b"HTTP/1.1 200 OK\r\n\r\n");
        recorder.note(connection, Direction::Received, &[b'x'; 100_000]);
        let said = &recorder.exchanges()[0].said[0];
        assert_eq!(said.bytes, 100_019);
        assert_eq!(said.text.len(), 17 + 4096);
    }
}
