//! Replies, as they are ordered: right, or wrong in one chosen way.

use std::time::Duration;

use super::connection::{Connection, Gone};
use super::incoming::Head;
use super::journal::Entry;
use super::order::{Cut, Framing, How, Keep, Order};

/// How long a stalled reply lasts.
const STALL: Duration = Duration::from_secs(600);

/// Why a reply was not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The caller left.
    Gone,
    /// It was to break off here.
    Cut,
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// A reply whose header is on its way.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    connection: &'a mut Connection,
    order: &'a Order,
    entry: &'a Entry,
    chunked: bool,
    /// The reply must not have a body, whatever the order says.
    bodiless: bool,
    sent: u64,
    keep: Keep,
}

/// What the action itself says of its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) content_type: Option<&'a [u8]>,
    /// Its length, where it is known.
    pub(super) length: Option<u64>,
}

/// Sends the interim replies, and waits as the order says.
async fn lead_in(connection: &mut Connection, order: &Order) -> Result<(), Stop> {
    for status in &order.interim {
        let mut head = status_line(*status);
        for header in &order.interim_headers {
            line(&mut head, header);
        }
        head.extend_from_slice(b"\r\n");
        connection.send(&head).await?;
    }
    Ok(connection.pass(order.sleep).await?)
}

/// Sends a whole header, or what the order leaves of it.
async fn send_head(
    connection: &mut Connection,
    order: &Order,
    mut head: Vec<u8>,
) -> Result<(), Stop> {
    head.extend_from_slice(b"\r\n");
    match order.cut {
        Some(Cut::Start) => return Err(Stop::Cut),
        Some(Cut::Header) => {
            connection
                .send(head.get(..head.len() / 2).unwrap_or_default())
                .await?;
            return Err(Stop::Cut);
        }
        Some(Cut::Body(_)) | None => connection.send(&head).await?,
    }
    Ok(connection.pass(order.pause).await?)
}

/// Answers 101.
pub(super) async fn switch(
    connection: &mut Connection,
    order: &Order,
    headers: &[Vec<u8>],
) -> Result<(), Stop> {
    lead_in(connection, order).await?;
    let mut head = status_line(101);
    for header in headers.iter().chain(&order.headers) {
        line(&mut head, header);
    }
    send_head(connection, order, head).await
}

impl<'a> Outgoing<'a> {
    /// Sends all that comes before the body.
    pub(super) async fn begin(
        connection: &'a mut Connection,
        request: &Head,
        order: &'a Order,
        entry: &'a Entry,
        content: Content<'_>,
    ) -> Result<Self, Stop> {
        lead_in(connection, order).await?;

        let known = content.length.is_some();
        let framing = match order.framing {
            Some(Framing::Length) | None if known => Framing::Length,
            Some(Framing::Length) if !order.lengths.is_empty() => Framing::Length,
            Some(Framing::Close) => Framing::Close,
            _ if !request.is_current() => Framing::Close,
            _ => Framing::Chunked,
        };
        let bodiless = request.method == "HEAD" || matches!(order.status, 100..=199 | 204 | 304);
        let persistent = request.is_current() && !request.lists("connection", "close");
        let keep = if persistent && order.read && framing != Framing::Close {
            order.keep
        } else {
            Keep::Close
        };

        let mut head = status_line(order.status);
        let content_type = order.content_type.as_deref().or(content.content_type);
        if let Some(value) = content_type.filter(|value| !value.is_empty()) {
            line(&mut head, &[b"Content-Type: ", value].concat());
        }
        for header in &order.headers {
            line(&mut head, header);
        }
        for length in &order.lengths {
            line(
                &mut head,
                &[b"Content-Length: ", length.as_slice()].concat(),
            );
        }
        let without_framing = matches!(order.status, 100..=199 | 204);
        match framing {
            Framing::Chunked if !without_framing => {
                for trailer in &order.trailers {
                    let name = trailer.split(|&byte| byte == b':').next();
                    line(
                        &mut head,
                        &[b"Trailer: ", name.unwrap_or_default()].concat(),
                    );
                }
                line(&mut head, b"Transfer-Encoding: chunked");
            }
            Framing::Length if !without_framing && order.lengths.is_empty() => {
                let length = content.length.unwrap_or(0);
                line(&mut head, format!("Content-Length: {length}").as_bytes());
            }
            _ => {}
        }
        if keep == Keep::Close {
            line(&mut head, b"Connection: close");
        }
        send_head(connection, order, head).await?;
        Ok(Self {
            connection,
            order,
            entry,
            chunked: framing == Framing::Chunked,
            bodiless,
            sent: 0,
            keep,
        })
    }

    /// The connection, to read from it or to wait.
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    /// Sends a piece, as a chunk of its own where there are chunks.
    pub(super) async fn piece(&mut self, piece: &[u8]) -> Result<(), Stop> {
        if self.bodiless || piece.is_empty() {
            return Ok(());
        }
        let size = length(piece);
        let left = match self.order.cut {
            Some(Cut::Body(at)) => at.saturating_sub(self.sent),
            _ => u64::MAX,
        };
        let piece = match usize::try_from(left) {
            Ok(left) => piece.get(..left).unwrap_or(piece),
            Err(_) => piece,
        };
        if !piece.is_empty() {
            if self.chunked {
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                self.connection.send(&chunk).await?;
            } else {
                self.connection.send(piece).await?;
            }
            self.sent += length(piece);
            self.entry.sent(piece.len());
        }
        if left <= size {
            return Err(Stop::Cut);
        }
        Ok(())
    }

    /// Ends the reply; what becomes of the connection.
    pub(super) async fn end(self) -> Result<Keep, Stop> {
        if matches!(self.order.cut, Some(Cut::Body(at)) if at <= self.sent) {
            return Err(Stop::Cut);
        }
        let mut last = Vec::new();
        if self.chunked && !self.bodiless {
            last.extend_from_slice(b"0\r\n");
            for trailer in &self.order.trailers {
                line(&mut last, trailer);
            }
            last.extend_from_slice(b"\r\n");
        }
        last.extend_from_slice(&self.order.after);
        if !last.is_empty() {
            self.connection.send(&last).await?;
        }
        Ok(self.keep)
    }
}

/// Does what an order wants where its reply breaks off.
pub(super) async fn break_off(mut connection: Connection, how: How) {
    match how {
        How::Close => connection.close().await,
        How::Reset => connection.reset(),
        How::Stall => {
            // Either way it is over.
            let _ = connection.pass(STALL).await;
        }
    }
}

/// The first line of a reply.
pub(crate) fn status_line(status: u16) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Ordered");
    format!("HTTP/1.1 {status} {reason}\r\n").into_bytes()
}

fn line(head: &mut Vec<u8>, text: &[u8]) {
    head.extend_from_slice(text);
    head.extend_from_slice(b"\r\n");
}

fn length(piece: &[u8]) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}
