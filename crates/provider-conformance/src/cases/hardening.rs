//! Hostile input: what it may do, and what not.

pub(super) mod limits;
pub(super) mod replies;
pub(super) mod requests;
pub(super) mod secrecy;

use serde_json::Value;

use super::steps::together;
use crate::context::{Context, Function, Stop};
use crate::wire::{Answer, WireError};

/// What bytes on a connection of their own have led to.
#[derive(Debug)]
struct Met {
    answers: Vec<Answer>,
    /// How the connection ended; nothing where it was left open.
    end: Option<WireError>,
}

impl Met {
    /// Whether there was one answer, a refusal, and the connection was closed behind it; or the
    /// connection was closed at once.
    fn is_refused(&self) -> bool {
        let refused = self.answers.iter().all(|answer| answer.status() >= 400);
        refused && self.answers.len() <= 1 && self.is_closed()
    }

    /// Whether it was turned down, by refusals or by a close; silence on an open connection is
    /// neither.
    fn is_turned_down(&self) -> bool {
        let refused = self.answers.iter().all(|answer| answer.status() >= 400);
        refused && (self.is_closed() || !self.answers.is_empty())
    }

    /// The same as `is_refused` with exactly this status.
    fn is_refused_with(&self, status: u16) -> bool {
        let same = |answer: &Answer| answer.status() == status;
        self.is_refused() && self.answers.first().is_some_and(same)
    }

    fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    /// What the function says that it received, where it was called.
    fn echo(&self) -> Option<Value> {
        let first = self.answers.first().filter(|answer| answer.is_success());
        first.and_then(|answer| answer.json().ok())
    }

    fn shown(&self) -> String {
        let answers: Vec<_> = self.answers.iter().map(Answer::shown).collect();
        let end = match &self.end {
            Some(end) => end.to_string(),
            None => "the connection was left open".to_owned(),
        };
        match answers.as_slice() {
            [] => format!("no answer; {end}"),
            answers => format!("{}; {end}", answers.join(", then ")),
        }
    }
}

/// Sends bytes as they are, and reads what is answered until it is known whether they were taken or
/// turned down: up to the first answer that is no refusal, an end, or silence.
async fn throw(cx: &Context, bytes: &[u8]) -> Result<Met, Stop> {
    throw_while(cx, bytes, |last| last.status() >= 400).await
}

/// The same, reading on for as long as this holds of the last answer.
async fn throw_while(
    cx: &Context,
    bytes: &[u8],
    more: impl Fn(&Answer) -> bool,
) -> Result<Met, Stop> {
    let mut connection = cx.connect().await?;
    connection.set_limit(cx.timeouts().prompt);
    // A provider may close before it has read everything.
    let _ = connection.write(bytes).await;
    let mut met = Met {
        answers: Vec::new(),
        end: None,
    };
    while met.answers.len() < 4 && met.answers.last().is_none_or(&more) {
        match connection.answer("POST").await {
            Ok(answer) => met.answers.push(answer),
            Err(WireError::Late { .. }) => break,
            Err(end) => {
                met.end = Some(end);
                break;
            }
        }
    }
    Ok(met)
}

/// Throws each of these, at the same time, over connections of their own.
async fn throw_each<T>(cx: &Context, all: Vec<(T, String)>) -> Result<Vec<(T, Met)>, Stop> {
    let thrown = all.into_iter().map(|(what, bytes)| async move {
        let met = throw(cx, bytes.as_bytes()).await?;
        Ok((what, met))
    });
    together(thrown).await.into_iter().collect()
}

/// The path of a function with what follows, below the path of the target.
fn path(cx: &Context, function: &Function, rest: &str) -> String {
    format!("{}{}", cx.address().prefix, function.path(rest))
}

/// The head of a call, up to and without its empty line.
fn head(cx: &Context, method: &str, path: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\n",
        cx.address().host
    )
}

/// A whole call that the function lists under this id.
fn follower(cx: &Context, function: &Function, id: &str) -> String {
    let path = path(cx, function, &format!("/do/echo?id={id}"));
    format!("{}\r\n", head(cx, "GET", &path))
}

/// What the function has listed under an id.
async fn calls(cx: &Context, function: &Function, id: &str) -> Result<Vec<Value>, Stop> {
    let answer = cx
        .get(&function.path(&format!("/do/calls?id={id}")))
        .await?;
    let told = answer.json().unwrap_or_default();
    let calls = told.get("calls").and_then(Value::as_array).cloned();
    calls.ok_or_else(|| Stop::Setup(format!("the function lists no calls: {}", answer.shown())))
}
