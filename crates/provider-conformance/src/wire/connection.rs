//! One connection to the target.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::address::{Address, Place};
use super::body::{Framing, Step, find};
use super::error::WireError;
use super::head::{Head, Headers};
use super::record::{Direction, Recorder};
use super::request::Request;

/// A head larger than this is taken for garbage.
const HEAD: usize = 256 * 1024;
/// How much room each read has, at the least.
const READ: usize = 64 * 1024;
/// A body larger than this is not read whole.
const BODY: usize = 64 * 1024 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that sends what it is told to and reads strictly.
///
/// Each wait has a limit, the one that it was opened with; [`Connection::set_limit`] changes it.
pub struct Connection {
    stream: Box<dyn Stream>,
    address: Address,
    buffer: Vec<u8>,
    framing: Framing,
    trailers: Headers,
    limit: Duration,
    recorder: Recorder,
    number: usize,
}

/// An answer that came whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The final head.
    pub head: Head,
    /// The heads before it, of 100 to 199.
    pub interim: Vec<Head>,
    /// The body.
    pub body: Vec<u8>,
    /// What came after a chunked body.
    pub trailers: Headers,
    /// From the last byte sent to the final head.
    pub waited: Duration,
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// Whether the status is 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.head.status)
    }

    /// Whether the status is 400 to 499.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        (400..500).contains(&self.head.status)
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.headers.get(name)
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none, in words.
    pub fn json(&self) -> Result<serde_json::Value, String> {
        serde_json::from_slice(&self.body)
            .map_err(|error| format!("the body is no JSON ({error}): {}", self.shown()))
    }

    /// The status and the beginning of the body, for explanations.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = self.text();
        let body: String = text.chars().take(200).collect();
        let dots = if body.len() < text.len() { "…" } else { "" };
        format!("{} {:?}{dots}", self.head.status, body)
    }
}

/// A piece of a body, and when it came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Piece {
    /// When its first byte was read.
    pub at: Instant,
    /// The bytes, never none.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or nobody answers within the limit.
    pub async fn open(
        address: &Address,
        recorder: &Recorder,
        limit: Duration,
    ) -> Result<Self, WireError> {
        let refused = |source| WireError::Connect {
            to: address.to_string(),
            source,
        };
        let connecting = async {
            Ok::<Box<dyn Stream>, io::Error>(match &address.place {
                Place::Tcp { host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
                Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
            })
        };
        let stream = in_time(limit, "connection", connecting)
            .await?
            .map_err(refused)?;
        Ok(Self {
            stream,
            address: address.clone(),
            buffer: Vec::new(),
            framing: Framing::Done,
            trailers: Headers::default(),
            limit,
            recorder: recorder.clone(),
            number: recorder.connection(),
        })
    }

    /// How long each wait may take from now on.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection ends, or takes nothing more for as long as the limit.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.recorder.note(self.number, Direction::Sent, bytes);
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let written = in_time(self.limit, "room for what is sent", writing).await?;
        written.map_err(|error| self.ended(&error))
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn finish(&mut self) -> Result<(), WireError> {
        self.event("the kit sends nothing more");
        let done = self.stream.shutdown().await;
        done.map_err(|error| self.ended(&error))
    }

    /// Sends a whole request, without reading.
    ///
    /// # Errors
    /// See [`Connection::write`].
    pub async fn send(&mut self, request: &Request) -> Result<(), WireError> {
        let bytes = request.bytes(&self.address);
        self.write(&bytes).await
    }

    /// The next head, interim ones too. The body of an answer must have been read to its end.
    ///
    /// # Errors
    /// When none comes in time, or what comes is none.
    pub async fn head(&mut self, method: &str) -> Result<Head, WireError> {
        let deadline = Instant::now() + self.limit;
        let mut looked = 0;
        let end = loop {
            let from = usize::saturating_sub(looked, 3);
            let fresh = self.buffer.get(from..).unwrap_or_default();
            if let Some(at) = find(fresh, b"\r\n\r\n") {
                break from + at + 4;
            }
            looked = self.buffer.len();
            if looked > HEAD {
                let malformed = format!("no end of the head in {HEAD} bytes");
                return Err(WireError::Malformed(malformed));
            }
            if let Some(wrong) = not_http(&self.buffer) {
                return Err(wrong);
            }
            let limit = deadline.saturating_duration_since(Instant::now());
            if self.fill(limit, "answer").await? == 0 {
                return Err(if self.buffer.is_empty() {
                    WireError::Closed
                } else {
                    WireError::Broken("the connection was closed within the head".to_owned())
                });
            }
        };
        let bytes: Vec<u8> = self.buffer.drain(..end).collect();
        let head = Head::parse(&bytes)?;
        self.framing = Framing::of(&head, method)?;
        self.trailers = Headers::default();
        Ok(head)
    }

    /// The next piece of the body, or of what an upgraded connection carries; `None` at its end.
    ///
    /// # Errors
    /// When none comes in time, the body breaks off, or is not as it is framed.
    pub async fn piece(&mut self) -> Result<Option<Piece>, WireError> {
        let deadline = Instant::now() + self.limit;
        loop {
            match self.framing.step(&mut self.buffer)? {
                Step::Piece(data) => {
                    return Ok(Some(Piece {
                        at: Instant::now(),
                        data,
                    }));
                }
                Step::End(trailers) => {
                    if !trailers.0.is_empty() {
                        self.trailers = trailers;
                    }
                    return Ok(None);
                }
                Step::More => {}
            }
            let limit = deadline.saturating_duration_since(Instant::now());
            if self.fill(limit, "piece of the body").await? == 0 {
                return match self.framing {
                    Framing::UntilClose | Framing::Upgraded => {
                        self.framing = Framing::Done;
                        Ok(None)
                    }
                    _ => Err(WireError::Broken(
                        "the connection was closed before the end of the body".to_owned(),
                    )),
                };
            }
        }
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// See [`Connection::piece`].
    pub async fn rest(&mut self) -> Result<Vec<u8>, WireError> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece.data);
            if body.len() > BODY {
                return Err(WireError::Malformed(format!("a body of over {BODY} bytes")));
            }
        }
        Ok(body)
    }

    /// What came after the chunks of the last body.
    #[must_use]
    pub fn trailers(&self) -> &Headers {
        &self.trailers
    }

    /// The final answer to what was sent, whole.
    ///
    /// # Errors
    /// When none comes in time, or not all of it, or it is no HTTP.
    pub async fn answer(&mut self, method: &str) -> Result<Answer, WireError> {
        let sent = Instant::now();
        let mut interim = Vec::new();
        let head = loop {
            let head = self.head(method).await?;
            if head.status >= 200 || head.status == 101 {
                break head;
            }
            interim.push(head);
        };
        let waited = sent.elapsed();
        let body = if head.status == 101 {
            Vec::new()
        } else {
            self.rest().await?
        };
        Ok(Answer {
            head,
            interim,
            body,
            trailers: std::mem::take(&mut self.trailers),
            waited,
        })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// See [`Connection::write`] and [`Connection::answer`]. A refusal that comes before all was
    /// sent is an answer.
    pub async fn call(&mut self, request: &Request) -> Result<Answer, WireError> {
        match self.send(request).await {
            Ok(()) => self.answer(&request.method).await,
            Err(error) => self.answer(&request.method).await.map_err(|_| error),
        }
    }

    /// Reads until the other side ends the connection, and gives what came before.
    ///
    /// # Errors
    /// [`WireError::Late`] when it does not end within the limit. A reset is an end.
    pub async fn until_end(&mut self) -> Result<Vec<u8>, WireError> {
        let deadline = Instant::now() + self.limit;
        loop {
            let limit = deadline.saturating_duration_since(Instant::now());
            match self.fill(limit, "end of the connection").await {
                Ok(0) | Err(WireError::Broken(_)) => return Ok(std::mem::take(&mut self.buffer)),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn fill(&mut self, limit: Duration, what: &'static str) -> Result<usize, WireError> {
        let before = self.buffer.len();
        // A full buffer would grow by a few bytes only, and each read be as small.
        self.buffer.reserve(READ);
        let reading = self.stream.read_buf(&mut self.buffer);
        let read = match tokio::time::timeout(limit, reading).await {
            Ok(read) => read,
            Err(_) => {
                self.event("the kit waits no longer");
                return Err(WireError::Late {
                    what,
                    limit: self.limit,
                });
            }
        };
        match read {
            Ok(0) => {
                self.event("the provider closed the connection");
                Ok(0)
            }
            Ok(count) => {
                let fresh = self.buffer.get(before..).unwrap_or_default();
                self.recorder.note(self.number, Direction::Received, fresh);
                Ok(count)
            }
            Err(error) => Err(self.ended(&error)),
        }
    }

    fn ended(&self, error: &io::Error) -> WireError {
        self.event(&format!("the connection broke: {error}"));
        WireError::Broken(error.to_string())
    }

    fn event(&self, text: &str) {
        self.recorder
            .note(self.number, Direction::Event, text.as_bytes());
    }
}

/// What does not begin like an answer will not become one.
fn not_http(buffer: &[u8]) -> Option<WireError> {
    let begin = b"HTTP/1.";
    let same = buffer.iter().zip(begin).all(|(have, want)| have == want);
    (!same).then(|| {
        let shown = buffer.get(..60).unwrap_or(buffer);
        let shown = String::from_utf8_lossy(shown);
        WireError::Malformed(format!("it begins with {shown:?}"))
    })
}

async fn in_time<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, WireError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| WireError::Late { what, limit })
}
