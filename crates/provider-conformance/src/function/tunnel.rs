//! What follows a 101: bytes or frames, sent back as they came.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::connection::Connection;
use super::incoming::Head;
use super::journal::Entry;
use super::order::{Cut, Format, Order};
use super::outgoing::{Stop, switch};

/// The largest frame that is sent back.
const MOST_FRAME: u64 = 16 << 20;
/// RFC 6455, section 1.3.
const WEBSOCKET: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers with 101 and sends everything back until one side ends it.
pub(super) async fn run(
    connection: &mut Connection,
    request: &Head,
    protocol: &str,
    order: &Order,
    entry: &Entry,
) -> Result<(), Stop> {
    let mut headers = vec![
        b"Connection: Upgrade".to_vec(),
        format!("Upgrade: {protocol}").into_bytes(),
    ];
    if let Some(key) = request.value("sec-websocket-key") {
        headers.push(format!("Sec-WebSocket-Accept: {}", accept(key)).into_bytes());
    }
    switch(connection, order, &headers).await?;

    let mut tunnel = Tunnel {
        connection,
        order,
        entry,
        sent: 0,
    };
    if let Some(text) = &order.text {
        match order.format {
            Format::WebSocket => tunnel.send(&frame(0x81, text)).await?,
            Format::Plain | Format::Events | Format::Lines => tunnel.send(text).await?,
        }
    }
    match order.format {
        Format::WebSocket => tunnel.frames().await,
        Format::Plain | Format::Events | Format::Lines => tunnel.bytes().await,
    }
}

struct Tunnel<'a> {
    connection: &'a mut Connection,
    order: &'a Order,
    entry: &'a Entry,
    sent: u64,
}

impl Tunnel<'_> {
    async fn bytes(&mut self) -> Result<(), Stop> {
        loop {
            if self.connection.waiting().is_empty() && !self.more().await? {
                return Ok(());
            }
            let bytes = self.connection.take(usize::MAX);
            self.entry.received(bytes.len());
            self.send(&bytes).await?;
        }
    }

    async fn frames(&mut self) -> Result<(), Stop> {
        loop {
            let (first, payload) = match parse(self.connection.waiting()) {
                Frame::Whole(first, payload, size) => {
                    self.connection.take(size);
                    (first, payload)
                }
                Frame::Partial => {
                    if !self.more().await? {
                        return Ok(());
                    }
                    continue;
                }
                Frame::TooLarge => return Err(Stop::Gone),
            };
            self.entry.received(payload.len());
            match first & 0x0f {
                // A close is answered and ends it; a ping is answered with a pong.
                0x8 => {
                    self.send(&frame(first, &payload)).await?;
                    return Ok(());
                }
                0x9 => self.send(&frame(0x8a, &payload)).await?,
                0xa => {}
                _ => self.send(&frame(first, &payload)).await?,
            }
        }
    }

    /// Whether anything more came; otherwise the other side has ended it.
    async fn more(&mut self) -> Result<bool, Stop> {
        match self.connection.receive().await {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(_) => Err(Stop::Gone),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let left = match self.order.cut {
            Some(Cut::Body(at)) => {
                usize::try_from(at.saturating_sub(self.sent)).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        };
        let bytes_sent = bytes.get(..left).unwrap_or(bytes);
        self.connection.send(bytes_sent).await?;
        self.entry.sent(bytes_sent.len());
        self.sent += u64::try_from(bytes_sent.len()).unwrap_or(0);
        if left <= bytes.len() {
            return Err(Stop::Cut);
        }
        Ok(())
    }
}

/// The answer to a key: RFC 6455, section 4.2.2.
fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{WEBSOCKET}")))
}

enum Frame {
    /// Its first byte, its payload, and how many bytes it took.
    Whole(u8, Vec<u8>, usize),
    Partial,
    TooLarge,
}

/// Reads a frame of a client: RFC 6455, section 5.2.
fn parse(bytes: &[u8]) -> Frame {
    parse_whole(bytes).unwrap_or(Frame::Partial)
}

fn parse_whole(bytes: &[u8]) -> Option<Frame> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (size, mut at) = match second & 0x7f {
        126 => (
            u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    if size > MOST_FRAME {
        return Some(Frame::TooLarge);
    }
    let mask = if second & 0x80 == 0 {
        [0; 4]
    } else {
        at += 4;
        bytes.get(at - 4..at)?.try_into().ok()?
    };
    let end = at + usize::try_from(size).ok()?;
    let payload = bytes
        .get(at..end)?
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    Some(Frame::Whole(first, payload, end))
}

/// Writes a frame of a server.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let size = payload.len();
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(short @ ..126), _) => bytes.push(short),
        (_, Ok(medium)) => {
            bytes.push(126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&u64::try_from(size).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_key_of_the_rfc_is_that_of_the_rfc() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn frames_of_every_size_are_read_as_written() {
        for size in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; size];
            let bytes = frame(0x82, &payload);
            let Frame::Whole(first, read, taken) = parse(&bytes) else {
                panic!("a frame of {size} is not whole");
            };
            assert_eq!((first, read, taken), (0x82, payload, bytes.len()));
            assert!(matches!(parse(&bytes[..bytes.len() - 1]), Frame::Partial));
        }
        assert!(matches!(
            parse(&[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0]),
            Frame::TooLarge
        ));
    }
}
