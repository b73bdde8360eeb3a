//! One call: what is ordered is done.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::connection::Connection;
use super::incoming::{Head, Incoming};
use super::journal::{Entry, lock};
use super::order::{Action, Format, Framing, How, Keep, Order};
use super::outgoing::{Content, Outgoing, Stop};
use super::report::{Body, Calls, Echo, Environment, Identity, Limits, Secrets};
use super::server::State;
use super::tunnel;

/// How much of a body `body=yes` gives back.
const MOST_BODY: usize = 16 << 20;
/// The longest line that is written.
const MOST_LINE: usize = 16 << 20;
/// The most of a pattern that is made at once.
const PIECE: usize = 64 * 1024;

/// What becomes of a connection after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Keep(Keep),
    /// The reply was to break off.
    Cut(How),
    /// The caller has left.
    Gone,
    /// The process is to end with that code.
    Exit(u8),
}

/// Answers one call.
pub(super) async fn answer(
    connection: &mut Connection,
    head: &Head,
    mut incoming: Incoming,
    state: &State,
) -> After {
    let (order, entry) = match ordered(head, state) {
        Ok(found) => found,
        Err(text) => return refuse(connection, head, &text).await,
    };
    let call = Call {
        head,
        order: &order,
        entry: &entry,
        state,
    };
    let (ended, after) = match call.run(connection, &mut incoming).await {
        Ok(_) if order.action == Action::Exit => ("done", After::Exit(order.code)),
        Ok(keep) => ("done", After::Keep(keep)),
        Err(Stop::Cut) => ("cut", After::Cut(order.how)),
        Err(Stop::Gone) => ("gone", After::Gone),
    };
    entry.ended(ended);
    after
}

/// What this call orders, and its place in the journal.
fn ordered(head: &Head, state: &State) -> Result<(Order, Entry), String> {
    let path = head.target.split('?').next().unwrap_or_default();
    let mut order = Order::of(head)?;
    if head.value("x-do").is_none() && matches!(path, "/_/health" | "/_/ready") {
        order = Order::new(Action::Nothing);
        if path == "/_/ready" && !state.is_ready() {
            order.status = 503;
        }
    }
    let Some(id) = order.id.clone() else {
        return match order.action {
            Action::Calls => Err("calls lists those of an id: give the id".to_owned()),
            _ => Ok((order, Entry::default())),
        };
    };
    if order.action == Action::Calls {
        return Ok((order, Entry::default()));
    }
    let (entry, before) = lock(&state.journal).open(&id, &head.method, &head.target);
    if order.first.is_some_and(|first| before >= first) {
        order = Order::new(Action::Echo);
    }
    Ok((order, entry))
}

/// Says what is wrong with a call, and closes its connection.
async fn refuse(connection: &mut Connection, head: &Head, text: &str) -> After {
    let mut order = Order::new(Action::Text);
    order.status = 400;
    order.read = false;
    order.text = Some(format!("{text}\n").into_bytes());
    let call = async {
        let entry = Entry::default();
        let content = Content {
            content_type: Some(b"text/plain"),
            length: order.text.as_ref().map(|text| size(text.len())),
        };
        let mut reply = Outgoing::begin(connection, head, &order, &entry, content).await?;
        reply
            .piece(order.text.as_deref().unwrap_or_default())
            .await?;
        reply.end().await
    };
    match call.await {
        Ok(_) => After::Keep(Keep::Close),
        Err(_) => After::Gone,
    }
}

struct Call<'a> {
    head: &'a Head,
    order: &'a Order,
    entry: &'a Entry,
    state: &'a State,
}

impl Call<'_> {
    async fn run(
        &self,
        connection: &mut Connection,
        incoming: &mut Incoming,
    ) -> Result<Keep, Stop> {
        let order = self.order;
        match order.action {
            Action::Mirror => return self.mirror(connection, incoming).await,
            Action::Upgrade => {
                if let Some(protocol) = self.protocol() {
                    tunnel::run(connection, self.head, protocol, order, self.entry).await?;
                    return Ok(Keep::Close);
                }
            }
            _ => {}
        }
        let (body, bytes) = self.read(connection, incoming).await?;
        match order.action {
            Action::Mirror => Ok(Keep::Close),
            Action::Echo => {
                let peer = connection.peer().to_string();
                let replica = &self.state.replica;
                let echo = Echo::new(self.head, body, &incoming.trailers, peer, replica);
                self.json(connection, &echo).await
            }
            Action::Nothing | Action::Exit => self.whole(connection, None, b"").await,
            Action::Text => {
                let text = order.text.as_deref().unwrap_or_default();
                self.whole(connection, Some(b"text/plain"), text).await
            }
            Action::Bytes | Action::Stream => self.pieces(connection).await,
            Action::Environment => {
                let environment = Environment {
                    variables: &self.state.variables,
                    arguments: &self.state.arguments,
                    directory: std::env::current_dir().ok(),
                };
                self.json(connection, &environment).await
            }
            Action::Secrets => match Secrets::read(&self.state.secrets) {
                Ok(secrets) => self.json(connection, &secrets).await,
                Err(error) => {
                    let text = format!("{}: {error}\n", self.state.secrets.display());
                    self.failed(connection, 500, &text).await
                }
            },
            Action::Identity => {
                let (calls, malformed) = {
                    let journal = lock(&self.state.journal);
                    (journal.requests, journal.malformed)
                };
                let identity = Identity::new(&self.state.replica, calls, malformed);
                self.json(connection, &identity).await
            }
            Action::Limits => self.json(connection, &Limits::read()).await,
            Action::Log => {
                self.log(connection).await?;
                self.whole(connection, None, b"").await
            }
            Action::Calls => {
                let calls = lock(&self.state.journal).of(order.id.as_deref().unwrap_or_default());
                let calls = Calls {
                    replica: &self.state.replica,
                    calls,
                };
                self.json(connection, &calls).await
            }
            Action::Raw => {
                connection.pass(order.sleep).await?;
                connection
                    .send(order.text.as_deref().unwrap_or(&bytes))
                    .await?;
                Ok(Keep::Close)
            }
            Action::Upgrade => {
                self.failed(connection, 426, "the call has no Upgrade header\n")
                    .await
            }
        }
    }

    /// The first protocol that the caller offers, where it wants to switch.
    fn protocol(&self) -> Option<&str> {
        let offered = self.head.value("upgrade")?;
        let first = offered.split(',').next()?.trim();
        (self.head.lists("connection", "upgrade") && !first.is_empty()).then_some(first)
    }

    /// Reads the body of the call, if it is to be read.
    async fn read(
        &self,
        connection: &mut Connection,
        incoming: &mut Incoming,
    ) -> Result<(Body, Vec<u8>), Stop> {
        let wanted = self.order.with_body || self.order.action == Action::Raw;
        let mut digest = Sha256::new();
        let mut total = 0;
        let mut kept = Vec::new();
        while let Some(piece) = match self.order.read {
            true => incoming.next(connection).await?,
            false => None,
        } {
            self.entry.received(piece.len());
            total += size(piece.len());
            digest.update(&piece);
            if wanted && kept.len() + piece.len() <= MOST_BODY {
                kept.extend_from_slice(&piece);
            }
        }
        let mut body = Body::new(incoming.framing(), total, digest);
        if incoming.is_complete() {
            body.complete = true;
            self.entry.complete();
        }
        if self.order.with_body {
            body.base64 = Some(STANDARD.encode(&kept));
        }
        Ok((body, kept))
    }

    /// Sends the body of the call back as it comes.
    async fn mirror(
        &self,
        connection: &mut Connection,
        incoming: &mut Incoming,
    ) -> Result<Keep, Stop> {
        let length = match self.order.framing {
            Some(Framing::Length) => self
                .head
                .value("content-length")
                .and_then(|length| length.parse().ok()),
            _ => None,
        };
        let content = Content {
            content_type: self.head.value("content-type").map(str::as_bytes),
            length,
        };
        let mut reply =
            Outgoing::begin(connection, self.head, self.order, self.entry, content).await?;
        while let Some(piece) = incoming.next(reply.connection()).await? {
            self.entry.received(piece.len());
            reply.piece(&piece).await?;
        }
        self.entry.complete();
        reply.end().await
    }

    /// Sends `bytes` or `stream`.
    async fn pieces(&self, connection: &mut Connection) -> Result<Keep, Stop> {
        let order = self.order;
        let streamed = order.action == Action::Stream;
        let (count, bytes) = match (streamed, order.size) {
            (true, size) => (order.pieces, size),
            (false, size) => (1, Some(size.unwrap_or(0))),
        };
        let length = match (streamed, order.framing, bytes) {
            (false, None | Some(Framing::Length), _) | (true, Some(Framing::Length), Some(_)) => {
                bytes.map(|bytes| size(bytes).saturating_mul(count))
            }
            (true, Some(Framing::Length), None) => Some(
                (0..count)
                    .map(|at| size(line(order.format, at).len()))
                    .sum(),
            ),
            _ => None,
        };
        let content_type: &[u8] = match (bytes, order.format) {
            (Some(_), _) if !streamed => b"application/octet-stream",
            (_, Format::Events) => b"text/event-stream",
            (_, Format::Lines) => b"application/x-ndjson",
            (Some(_), _) => b"application/octet-stream",
            (None, _) => b"text/plain",
        };
        let content = Content {
            content_type: Some(content_type),
            length,
        };
        let mut reply = Outgoing::begin(connection, self.head, order, self.entry, content).await?;
        let mut from = 0;
        for at in 0..count {
            if at > 0 {
                reply.connection().pass(order.gap).await?;
            }
            match bytes {
                None => reply.piece(line(order.format, at).as_bytes()).await?,
                Some(mut left) => {
                    while left > 0 {
                        let now = left.min(PIECE);
                        reply.piece(&pattern(from, now)).await?;
                        from += size(now);
                        left -= now;
                    }
                }
            }
        }
        reply.end().await
    }

    /// Writes the lines that are ordered.
    async fn log(&self, connection: &mut Connection) -> Result<(), Stop> {
        for at in 0..self.order.times.unwrap_or(1) {
            if at > 0 {
                connection.pass(self.order.gap).await?;
            }
            let number = self.order.times.map(|_| format!(" {at}"));
            for (text, output) in [
                (&self.order.stdout, &self.state.stdout),
                (&self.order.stderr, &self.state.stderr),
            ] {
                let Some(text) = text else { continue };
                let mut line = match self.order.size {
                    // A memory that others share is not filled by one order.
                    Some(size) => text
                        .iter()
                        .copied()
                        .cycle()
                        .take(size.min(MOST_LINE))
                        .collect(),
                    None => text.clone(),
                };
                line.extend_from_slice(number.as_deref().unwrap_or_default().as_bytes());
                line.push(b'\n');
                let output = output.clone();
                // A provider that reads no output blocks whoever writes it, but not other calls.
                // What cannot be written is lost, as any program's output is.
                let _ = tokio::task::spawn_blocking(move || {
                    let mut output = lock(&output);
                    output.write_all(&line).and_then(|()| output.flush())
                })
                .await;
            }
        }
        Ok(())
    }

    async fn json(
        &self,
        connection: &mut Connection,
        value: &impl Serialize,
    ) -> Result<Keep, Stop> {
        match serde_json::to_vec(value) {
            Ok(text) => {
                self.whole(connection, Some(b"application/json"), &text)
                    .await
            }
            Err(error) => self.failed(connection, 500, &format!("{error}\n")).await,
        }
    }

    /// Says why the order cannot be carried out.
    async fn failed(
        &self,
        connection: &mut Connection,
        status: u16,
        text: &str,
    ) -> Result<Keep, Stop> {
        let order = Order {
            status,
            ..self.order.clone()
        };
        let call = Call {
            order: &order,
            ..*self
        };
        call.whole(connection, Some(b"text/plain"), text.as_bytes())
            .await
    }

    /// Sends a body that is there whole.
    async fn whole(
        &self,
        connection: &mut Connection,
        content_type: Option<&[u8]>,
        body: &[u8],
    ) -> Result<Keep, Stop> {
        let content = Content {
            content_type,
            length: match self.order.framing {
                None | Some(Framing::Length) => Some(size(body.len())),
                Some(Framing::Chunked | Framing::Close) => None,
            },
        };
        let mut reply =
            Outgoing::begin(connection, self.head, self.order, self.entry, content).await?;
        reply.piece(body).await?;
        reply.end().await
    }
}

/// Piece `at` of a stream.
fn line(format: Format, at: u64) -> String {
    match format {
        Format::Plain | Format::WebSocket => format!("{at}\n"),
        Format::Events => format!("data: {at}\n\n"),
        Format::Lines => format!("{{\"piece\":{at}}}\n"),
    }
}

/// Bytes of which no two neighbouring blocks are alike.
fn pattern(from: u64, count: usize) -> Vec<u8> {
    (from..from + size(count))
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0])
        .collect()
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
