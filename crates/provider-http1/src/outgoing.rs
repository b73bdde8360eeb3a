//! Bytes on their way into a socket: heads, parts of bodies and what stands between them.

use std::io::{IoSlice, Write as _};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;

use crate::framing::{may_trail, write_line};

/// A body's part up to this size is copied behind what goes before it, so that both are one write.
const COPIED: usize = 4096;
/// With so much waiting nothing more is taken.
const ENOUGH: usize = 16 * 1024;

/// What waits to be written. Large parts of bodies are not copied.
///
/// ```
/// use provider_http1::Outgoing;
///
/// let mut outgoing = Outgoing::from(b"POST / HTTP/1.1\r\n\r\n".to_vec());
/// outgoing.put_chunk("hello".into());
/// outgoing.end_chunks();
/// assert_eq!(&*outgoing.slices()[0], b"POST / HTTP/1.1\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
/// outgoing.advance(34);
/// assert!(outgoing.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Outgoing {
    /// What is written next: these, one after another.
    text: Vec<u8>,
    part: Bytes,
    end: &'static [u8],
    /// How many bytes of `text` were written.
    written: usize,
}

impl From<Vec<u8>> for Outgoing {
    fn from(text: Vec<u8>) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

impl Outgoing {
    /// Whether all was written.
    pub fn is_empty(&self) -> bool {
        self.text.len() == self.written && self.part.is_empty() && self.end.is_empty()
    }

    /// Whether another part should be put behind what waits. Behind a large part none may be put,
    /// only the end of its chunks.
    pub fn has_room(&self) -> bool {
        self.part.is_empty() && self.end.is_empty() && self.text.len() < ENOUGH
    }

    /// Where heads are written.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        debug_assert!(
            self.part.is_empty() && self.end.is_empty(),
            "nothing is put behind a large part"
        );
        &mut self.text
    }

    /// Puts a part of a body whose end is told without chunks.
    pub fn put(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            self.text().extend_from_slice(&data);
        } else {
            self.part = data;
        }
    }

    /// Puts a part of a body as a chunk; nothing if it is empty, as an empty chunk would be the
    /// end. RFC 9112 7.1.
    pub fn put_chunk(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        // Writing to memory does not fail.
        let _ = write!(self.text(), "{:x}\r\n", data.len());
        self.put(data);
        self.put_end(b"\r\n");
    }

    fn put_end(&mut self, end: &'static [u8]) {
        if self.part.is_empty() {
            self.text.extend_from_slice(end);
        } else {
            self.end = end;
        }
    }

    /// Puts the last chunk, also right behind a chunk that left no room.
    pub fn end_chunks(&mut self) {
        if self.end.is_empty() {
            self.put_end(b"0\r\n\r\n");
        } else {
            self.end = b"\r\n0\r\n\r\n";
        }
    }

    /// Puts the last chunk and the fields behind it, without those that are none of a trailer's.
    /// RFC 9110 6.5.1.
    pub fn end_chunks_with(&mut self, trailers: &HeaderMap) {
        let text = self.text();
        text.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name)) {
            write_line(text, name, value.as_bytes());
        }
        text.extend_from_slice(b"\r\n");
    }

    /// What is to be written, in this order; any of it may be empty.
    pub fn slices(&self) -> [IoSlice<'_>; 3] {
        [
            IoSlice::new(self.text.get(self.written..).unwrap_or_default()),
            IoSlice::new(&self.part),
            IoSlice::new(self.end),
        ]
    }

    /// Forgets the first so many bytes: they were written.
    pub fn advance(&mut self, written: usize) {
        let of_text = written.min(self.text.len() - self.written);
        let of_part = (written - of_text).min(self.part.len());
        self.written += of_text;
        self.part.advance(of_part);
        self.end = self
            .end
            .get(written - of_text - of_part..)
            .unwrap_or_default();
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
    }

    /// Gives back the memory that large heads took.
    pub(crate) fn shrink(&mut self) {
        if self.text.capacity() > 2 * COPIED {
            self.text = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(outgoing: &Outgoing) -> Vec<u8> {
        outgoing
            .slices()
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    /// All that waits, written some bytes at a time.
    fn written_by(outgoing: &mut Outgoing, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outgoing.is_empty() {
            let waiting = bytes(outgoing);
            let now = step.min(waiting.len());
            all.extend_from_slice(&waiting[..now]);
            outgoing.advance(now);
        }
        assert!(bytes(outgoing).is_empty() && outgoing.has_room());
        all
    }

    #[test]
    fn what_is_put_is_written_in_order_however_little_the_socket_takes() {
        let large = Bytes::from(vec![b'x'; COPIED + 1]);
        for step in [1, 2, 3, 7, 4096, usize::MAX] {
            let mut outgoing = Outgoing::from(b"head".to_vec());
            outgoing.put_chunk("ab".into());
            outgoing.put_chunk(Bytes::new());
            outgoing.put_chunk(large.clone());
            assert!(!outgoing.has_room(), "a large part is not copied");
            outgoing.end_chunks();
            let expected = [b"head2\r\nab\r\n1001\r\n", &large[..], b"\r\n0\r\n\r\n"].concat();
            assert_eq!(written_by(&mut outgoing, step), expected, "by {step}");
            outgoing.put("next".into());
            assert_eq!(written_by(&mut outgoing, step), b"next", "by {step}");
        }
    }

    #[test]
    fn trailers_follow_the_last_chunk_without_fields_that_frame() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        trailers.insert("content-length", http::HeaderValue::from_static("1"));
        let mut outgoing = Outgoing::default();
        outgoing.put_chunk("ab".into());
        outgoing.end_chunks_with(&trailers);
        let expected = b"2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n";
        assert_eq!(written_by(&mut outgoing, usize::MAX), expected);
    }

    #[test]
    fn much_text_leaves_no_room() {
        let mut outgoing = Outgoing::default();
        while outgoing.has_room() {
            outgoing.put(Bytes::from(vec![b'x'; COPIED]));
        }
        assert_eq!(written_by(&mut outgoing, 1000).len(), ENOUGH);
    }
}
