//! What a call orders the function to do.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::incoming::Head;

/// The header that orders, on any path.
const HEADER: &str = "x-do";
/// The path below which orders are.
const PATH: &str = "/do/";

/// What the function is to do with one call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    pub(super) action: Action,
    pub(super) status: u16,
    pub(super) headers: Vec<Vec<u8>>,
    /// The type of the body where the action's own is not wanted; empty for none at all.
    pub(super) content_type: Option<Vec<u8>>,
    pub(super) framing: Option<Framing>,
    pub(super) lengths: Vec<Vec<u8>>,
    pub(super) trailers: Vec<Vec<u8>>,
    pub(super) interim: Vec<u16>,
    pub(super) interim_headers: Vec<Vec<u8>>,
    pub(super) sleep: Duration,
    pub(super) pause: Duration,
    pub(super) read: bool,
    pub(super) cut: Option<Cut>,
    pub(super) how: How,
    pub(super) after: Vec<u8>,
    pub(super) keep: Keep,
    pub(super) id: Option<String>,
    pub(super) first: Option<u64>,
    pub(super) with_body: bool,
    pub(super) text: Option<Vec<u8>>,
    pub(super) size: Option<usize>,
    pub(super) pieces: u64,
    pub(super) gap: Duration,
    pub(super) format: Format,
    pub(super) stdout: Option<Vec<u8>>,
    pub(super) stderr: Option<Vec<u8>>,
    pub(super) times: Option<u64>,
    pub(super) code: u8,
}

/// What the reply is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Echo,
    Mirror,
    Nothing,
    Text,
    Bytes,
    Stream,
    Environment,
    Secrets,
    Identity,
    Limits,
    Log,
    Calls,
    Raw,
    Upgrade,
    Exit,
}

/// Every action by its name.
const ACTIONS: [(&str, Action); 15] = [
    ("echo", Action::Echo),
    ("mirror", Action::Mirror),
    ("none", Action::Nothing),
    ("text", Action::Text),
    ("bytes", Action::Bytes),
    ("stream", Action::Stream),
    ("environment", Action::Environment),
    ("secrets", Action::Secrets),
    ("identity", Action::Identity),
    ("limits", Action::Limits),
    ("log", Action::Log),
    ("calls", Action::Calls),
    ("raw", Action::Raw),
    ("upgrade", Action::Upgrade),
    ("exit", Action::Exit),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    Close,
}

/// Where a reply breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Start,
    Header,
    /// After so many bytes of the body.
    Body(u64),
}

/// What happens where it breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Close,
    Reset,
    Stall,
}

/// What becomes of the connection after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Open,
    /// It is closed, and the reply says so.
    Close,
    /// It is closed after that time, and the reply does not say so.
    CloseAfter(Duration),
}

/// How pieces of a stream look; for `upgrade`, what is sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Events,
    Lines,
    WebSocket,
}

impl Order {
    /// An order to do no more than this, with 200.
    pub(super) fn new(action: Action) -> Self {
        Self {
            action,
            status: 200,
            headers: Vec::new(),
            content_type: None,
            framing: None,
            lengths: Vec::new(),
            trailers: Vec::new(),
            interim: Vec::new(),
            interim_headers: Vec::new(),
            sleep: Duration::ZERO,
            pause: Duration::ZERO,
            read: true,
            cut: None,
            how: How::Close,
            after: Vec::new(),
            keep: Keep::Open,
            id: None,
            first: None,
            with_body: false,
            text: None,
            size: None,
            pieces: 1,
            gap: Duration::ZERO,
            format: Format::Plain,
            stdout: None,
            stderr: None,
            times: None,
            code: 1,
        }
    }

    /// What this call orders.
    ///
    /// # Errors
    /// A text for the caller where that makes no sense.
    pub(super) fn of(head: &Head) -> Result<Self, String> {
        match head.value(HEADER).or(head.target.strip_prefix(PATH)) {
            Some(order) => Self::parse(order),
            None => Ok(Self::new(Action::Echo)),
        }
    }

    /// Reads `ACTION?NAME=VALUE&…`.
    fn parse(text: &str) -> Result<Self, String> {
        let (name, parameters) = text.split_once('?').unwrap_or((text, ""));
        let Some(&(_, action)) = ACTIONS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "no action is called {name:?}; there are {}",
                known.join(", ")
            ));
        };
        let mut order = Self::new(action);
        for parameter in parameters.split('&').filter(|one| !one.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            order.set(name, percent_decode_str(value).collect())?;
        }
        if order.first.is_some() && order.id.is_none() {
            return Err("first counts the calls of an id: give the id too".to_owned());
        }
        Ok(order)
    }

    fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), String> {
        let text = String::from_utf8_lossy(&value).into_owned();
        let wrong = |right: &str| format!("{name} is {text:?}; {right}");
        let number = || {
            text.parse::<u64>()
                .map_err(|_| wrong("give a whole number"))
        };
        let time = || number().map(Duration::from_millis);
        let status = |lowest: u16, highest: u16| match text.parse::<u16>() {
            Ok(status) if (lowest..=highest).contains(&status) => Ok(status),
            _ => Err(wrong(&format!("give a status from {lowest} to {highest}"))),
        };
        match name {
            "status" => self.status = status(100, 999)?,
            "header" => self.headers.push(value),
            "type" => self.content_type = Some(value),
            "framing" => {
                self.framing = Some(match text.as_str() {
                    "length" => Framing::Length,
                    "chunked" => Framing::Chunked,
                    "close" => Framing::Close,
                    _ => return Err(wrong("it can be length, chunked or close")),
                });
            }
            "length" => self.lengths.push(value),
            "trailer" => self.trailers.push(value),
            "interim" => self.interim.push(status(100, 199)?),
            "interim-header" => self.interim_headers.push(value),
            "sleep" => self.sleep = time()?,
            "pause" => self.pause = time()?,
            "read" => self.read = yes(&text).ok_or_else(|| wrong("it can be yes or no"))?,
            "cut" => {
                self.cut = Some(match text.as_str() {
                    "start" => Cut::Start,
                    "header" => Cut::Header,
                    _ => Cut::Body(text.parse().map_err(|_| {
                        wrong("it can be start, header, or a number of bytes of the body")
                    })?),
                });
            }
            "how" => {
                self.how = match text.as_str() {
                    "close" => How::Close,
                    "reset" => How::Reset,
                    "stall" => How::Stall,
                    _ => return Err(wrong("it can be close, reset or stall")),
                };
            }
            "after" => self.after = value,
            "keep" => {
                self.keep = match text.as_str() {
                    "yes" => Keep::Open,
                    "no" => Keep::Close,
                    _ => Keep::CloseAfter(
                        time().map_err(|_| wrong("it can be yes, no, or milliseconds"))?,
                    ),
                };
            }
            "id" => self.id = Some(text),
            "first" => self.first = Some(number()?),
            "body" => self.with_body = yes(&text).ok_or_else(|| wrong("it can be yes or no"))?,
            "text" => self.text = Some(value),
            "size" => {
                self.size = Some(text.parse().map_err(|_| wrong("give a number of bytes"))?);
            }
            "pieces" => self.pieces = number()?,
            "gap" => self.gap = time()?,
            "as" => {
                self.format = match text.as_str() {
                    "plain" => Format::Plain,
                    "sse" => Format::Events,
                    "ndjson" => Format::Lines,
                    "websocket" => Format::WebSocket,
                    _ => return Err(wrong("it can be plain, sse, ndjson or websocket")),
                };
            }
            "stdout" => self.stdout = Some(value),
            "stderr" => self.stderr = Some(value),
            "times" => self.times = Some(number()?),
            "code" => self.code = text.parse().map_err(|_| wrong("give 0 to 255"))?,
            _ => {
                return Err(format!(
                    "no parameter is called {name:?}; FUNCTION.md lists them"
                ));
            }
        }
        Ok(())
    }
}

fn yes(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_whole() {
        let order =
            Order::parse("text?text=a%26b+c&status=201&header=X-A:%0a&header=b:&id=x&first=2")
                .unwrap();
        let mut expected = Order::new(Action::Text);
        expected.text = Some(b"a&b+c".to_vec());
        expected.status = 201;
        expected.headers = vec![b"X-A:\n".to_vec(), b"b:".to_vec()];
        expected.id = Some("x".to_owned());
        expected.first = Some(2);
        assert_eq!(order, expected);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (order, said) in [
            ("tea", "no action is called \"tea\"; there are echo, mirror"),
            ("echo?milk=1", "no parameter is called \"milk\""),
            ("echo?sleep=2s", "sleep is \"2s\"; give a whole number"),
            ("echo?interim=200", "give a status from 100 to 199"),
            ("echo?how=fast", "it can be close, reset or stall"),
            ("echo?first=1", "give the id too"),
        ] {
            let error = Order::parse(order).unwrap_err();
            assert!(error.contains(said), "{order}: {error}");
        }
    }

    #[test]
    fn the_reference_has_every_action_and_every_parameter() {
        let reference = include_str!("../../FUNCTION.md");
        for (name, _) in ACTIONS {
            assert!(reference.contains(&format!("\n| `{name}` | ")), "{name}");
        }
        // The arms of the match above.
        let arms = include_str!("order.rs").lines().filter_map(|line| {
            let name = line.strip_prefix("            \"")?;
            name.split_once("\" => ").map(|(name, _)| name)
        });
        let mut parameters = 0;
        for name in arms {
            parameters += 1;
            let named = [format!("`{name}`"), format!("`{name}=")];
            assert!(named.iter().any(|text| reference.contains(text)), "{name}");
        }
        assert!(parameters > 25, "{parameters}");
    }
}
