//! Makes any bytes the text that Go would read: every byte that is no UTF-8 and every escaped
//! surrogate without its other half becomes U+FFFD (`encoding/json`: decode.go).

use std::borrow::Cow;

const REPLACEMENT_ESCAPE: &[u8] = b"\\ufffd";

/// The text of a JSON document.
pub(super) fn lossy(document: &[u8]) -> Cow<'_, str> {
    match replace_lone_surrogates(document) {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(replace_invalid(bytes)),
        },
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes).unwrap_or_else(|error| replace_invalid(error.as_bytes())),
        ),
    }
}

/// One U+FFFD for every byte, where `String::from_utf8_lossy` puts one for a broken sequence.
fn replace_invalid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

fn replace_lone_surrogates(document: &[u8]) -> Cow<'_, [u8]> {
    let mut fixed: Option<Vec<u8>> = None;
    let mut rest = document;
    while let Some(start) = rest.iter().position(|&byte| byte == b'\\') {
        let (before, escape) = rest.split_at(start);
        let (length, lone) = match surrogate(escape) {
            None => (2, false),
            Some(Half::Low) => (6, true),
            Some(Half::High) => match escape.get(6..).and_then(surrogate) {
                Some(Half::Low) => (12, false),
                _ => (6, true),
            },
        };
        let (escape, after) = escape.split_at(length.min(escape.len()));
        if lone && fixed.is_none() {
            let done = document.len() - rest.len();
            fixed = Some(document.get(..done).unwrap_or_default().to_vec());
        }
        if let Some(fixed) = &mut fixed {
            fixed.extend_from_slice(before);
            fixed.extend_from_slice(if lone { REPLACEMENT_ESCAPE } else { escape });
        }
        rest = after;
    }
    match fixed {
        None => Cow::Borrowed(document),
        Some(mut fixed) => {
            fixed.extend_from_slice(rest);
            Cow::Owned(fixed)
        }
    }
}

enum Half {
    High,
    Low,
}

/// Which half of a surrogate pair the escape at the start of `text` is, if any.
fn surrogate(text: &[u8]) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', second, third, fourth, ..] = text else {
        return None;
    };
    if !third.is_ascii_hexdigit() || !fourth.is_ascii_hexdigit() {
        return None;
    }
    match second {
        b'8' | b'9' | b'a' | b'b' | b'A' | b'B' => Some(Half::High),
        b'c'..=b'f' | b'C'..=b'F' => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(document: &[u8], text: &str) {
        assert_eq!(lossy(document), text);
    }

    #[test]
    fn good_text_is_not_copied() {
        assert!(matches!(
            lossy("\"é\\n\\ud83d\\ude00\"".as_bytes()),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn every_bad_byte_is_replaced() {
        becomes(b"\"a\xff\xfeb\"", "\"a\u{fffd}\u{fffd}b\"");
        becomes(b"\"\xe2\x82\"", "\"\u{fffd}\u{fffd}\"");
        becomes(b"\"\xed\xa0\x80\"", "\"\u{fffd}\u{fffd}\u{fffd}\"");
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_kept() {
        becomes(br#""\ud800""#, r#""\ufffd""#);
        becomes(br#""\uDC00x""#, r#""\ufffdx""#);
        becomes(br#""\ud800\u0041""#, r#""\ufffd\u0041""#);
        becomes(br#""\ud800\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#);
        becomes(br#""\ud83d\ude00\ud800""#, r#""\ud83d\ude00\ufffd""#);
        becomes(br#""\\ud800""#, r#""\\ud800""#);
        becomes(br#""\ud8""#, r#""\ud8""#);
        becomes(br"\", r"\");
    }
}
