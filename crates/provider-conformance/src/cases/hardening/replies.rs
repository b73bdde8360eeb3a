//! Replies of functions that are not as HTTP has them.

use super::super::steps::shown;
use super::{head, path};
use crate::case::Case;
use crate::cases;
use crate::context::{Context, Function, Stop};
use crate::wire::{Answer, WireError};

pub(in crate::cases) const CASES: &[Case] = cases! { "hardening";
    a_reply_of_two_lengths_is_none: ["OFP-HRD-017"],
    a_reply_stays_one: ["OFP-HRD-018"],
};

/// What came of a call that orders a hostile reply, and of the next on the same connection.
struct Met {
    first: Result<Answer, WireError>,
    /// Nothing where the connection was closed behind the first.
    second: Option<Result<Answer, WireError>>,
}

impl Met {
    fn shown(&self) -> String {
        let second = self
            .second
            .as_ref()
            .map(|second| format!(", then {}", shown(second)));
        format!("{}{}", shown(&self.first), second.unwrap_or_default())
    }
}

async fn order(cx: &Context, function: &Function, order: &str) -> Result<Met, Stop> {
    let mut connection = cx.connect().await?;
    let call = |order: &str| format!("{}\r\n", head(cx, "GET", &path(cx, function, order)));
    let first = match connection.write(call(order).as_bytes()).await {
        Ok(()) => connection.answer("GET").await,
        Err(error) => Err(error),
    };
    let mut second = None;
    if first.is_ok()
        && connection
            .write(call("/do/text?text=second").as_bytes())
            .await
            .is_ok()
    {
        second = match connection.answer("GET").await {
            Err(error) if error.is_end() => None,
            answer => Some(answer),
        };
    }
    Ok(Met { first, second })
}

async fn a_reply_of_two_lengths_is_none(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    for lengths in ["length=3&length=4", "length=4&length=3", "length=3%2C%204"] {
        let met = order(cx, &function, &format!("/do/text?text=abcd&{lengths}")).await?;
        let good = match &met.first {
            Ok(answer) => answer.status() == 502,
            Err(error) => error.is_end(),
        };
        cx.check("OFP-HRD-017", good, || {
            format!("a reply with {lengths}: {}", met.shown())
        });
    }
    Ok(())
}

async fn a_reply_stays_one(cx: &Context) -> Result<(), Stop> {
    let function = cx.function().await?;
    let injected = "HTTP%2F1.1%20200%20OK%0D%0AContent-Length%3A%204%0D%0A%0D%0Aevil";
    for (what, orders) in [
        (
            "chunks and a length",
            "text=abc&framing=chunked&length=2".to_owned(),
        ),
        (
            "chunks and a longer length",
            "text=abc&framing=chunked&length=50".to_owned(),
        ),
        ("bytes behind its end", format!("text=abc&after={injected}")),
        (
            "bytes behind its last chunk",
            format!("text=abc&framing=chunked&after={injected}"),
        ),
        (
            "a line feed in a header",
            "text=abc&header=X-A%3Ab%0AX-B%3Ac".to_owned(),
        ),
        (
            "two line feeds in a header",
            format!("text=abc&keep=no&header=X-A%3Ab%0A%0A{injected}"),
        ),
    ] {
        let met = order(cx, &function, &format!("/do/text?{orders}")).await?;
        // What breaks off, or is refused, is not two; what is passed on must be in order.
        let first = match &met.first {
            Ok(answer) => {
                let both = answer.head.headers.has("transfer-encoding")
                    && answer.head.headers.has("content-length");
                !both || answer.status() >= 500
            }
            Err(error) => error.is_end(),
        };
        let second = match &met.second {
            None => true,
            Some(Ok(answer)) => answer.text() == "second",
            Some(Err(_)) => false,
        };
        cx.check("OFP-HRD-018", first && second, || {
            format!("a reply with {what}: {}", met.shown())
        });
    }
    Ok(())
}
