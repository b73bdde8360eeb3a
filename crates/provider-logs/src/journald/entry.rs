//! One entry, as `journalctl --output=json` writes it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use provider_types::Line;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// What is read of an entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) cursor: String,
    pub(super) time: SystemTime,
    instance: String,
    text: String,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    microseconds: String,
    #[serde(rename = "_PID", default)]
    pid: Text,
    #[serde(rename = "MESSAGE", default)]
    message: Text,
}

impl Entry {
    /// Reads an entry; `None` where it has no cursor or no time, or is no entry at all.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let fields: Fields = serde_json::from_slice(line).ok()?;
        let since_epoch = Duration::from_micros(fields.microseconds.parse().ok()?);
        let mut text = fields.message.0;
        text.truncate(text.trim_end_matches('\n').len());
        Some(Self {
            cursor: fields.cursor,
            time: UNIX_EPOCH.checked_add(since_epoch)?,
            instance: fields.pid.0,
            text,
        })
    }

    pub(super) fn into_line(self) -> Line {
        Line::new(self.instance, self.time, self.text)
    }
}

/// A field of any shape: a string; an array of bytes, where it is no text that prints; an array of
/// these, where it was given more than once; `null`, where it was too long to show.
#[derive(Debug, Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyShape).map(|value| match value {
            Value::Text(text) => Self(text),
            // A field is no number; journalctl writes none.
            Value::Byte(byte) => Self(byte.to_string()),
        })
    }
}

enum Value {
    Byte(u8),
    Text(String),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyShape)
    }
}

struct AnyShape;

impl<'de> Visitor<'de> for AnyShape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, an array of bytes or strings, or null")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Text(String::new()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_u64<E: serde::de::Error>(self, byte: u64) -> Result<Value, E> {
        u8::try_from(byte)
            .map(Value::Byte)
            .map_err(|_| E::custom("a number that is no byte"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let (mut bytes, mut texts) = (Vec::new(), Vec::new());
        while let Some(value) = from.next_element()? {
            match value {
                Value::Byte(byte) => bytes.push(byte),
                Value::Text(text) => texts.push(text),
            }
        }
        if !bytes.is_empty() {
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(Value::Text(texts.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(message: &str) -> Option<String> {
        let line = format!(
            r#"{{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","_PID":"7","MESSAGE":{message}}}"#
        );
        Entry::parse(line.as_bytes()).map(|entry| entry.text)
    }

    #[test]
    fn a_message_of_every_shape_is_text() {
        for (message, expected) in [
            (r#""plain""#, "plain"),
            (r#""\u001b[1m\u00e9\n""#, "\u{1b}[1mé"),
            ("null", ""),
            ("[]", ""),
            ("[104,105]", "hi"),
            ("[104,255,105,10]", "h\u{fffd}i"),
            (r#"["one","two"]"#, "one\ntwo"),
            (r#"["one",[104,105],null]"#, "one\nhi\n"),
        ] {
            let expected = expected.trim_end_matches('\n');
            assert_eq!(text(message).as_deref(), Some(expected), "{message}");
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in [
            "",
            "-- No entries --",
            "{}",
            "[1]",
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"x","MESSAGE":"m"}"#,
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"-1","MESSAGE":"m"}"#,
            r#"{"__CURSOR":"c","MESSAGE":"m"}"#,
            r#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":"m"}"#,
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","MESSAGE":{"a":1}}"#,
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","MESSAGE":"#,
        ] {
            assert!(Entry::parse(line.as_bytes()).is_none(), "{line}");
        }
        assert_eq!(text("[256]"), None);
    }

    #[test]
    fn an_entry_without_a_message_is_an_empty_line_of_its_process() {
        let line = br#"{"_PID":"42","__CURSOR":"c","__REALTIME_TIMESTAMP":"1500000","X":[1]}"#;
        let line = Entry::parse(line).unwrap().into_line();
        assert_eq!(
            line,
            Line::new("42", UNIX_EPOCH + Duration::from_millis(1500), "")
        );
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Entry::parse(&line);
        }

        #[test]
        fn any_bytes_are_text(bytes in proptest::collection::vec(any::<u8>(), 1..100)) {
            let read = text(&format!("{bytes:?}"));
            let lossy = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(read.as_deref(), Some(lossy.trim_end_matches('\n')));
        }
    }
}
