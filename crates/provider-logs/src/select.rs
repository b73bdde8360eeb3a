//! What `since`, `tail`, `instance` and `follow` mean, for lines that are in memory.

use std::collections::VecDeque;

use futures_core::Stream;
use futures_util::stream::{self, StreamExt as _};
use provider_types::{Line, LogEvent, LogRequest, LogStream};

/// Answers a request from the lines so far and the events to come.
///
/// `history` are the lines so far in the order of their time. `live` is what comes after them; it
/// is dropped unless the request follows. The author of a source takes both under one lock, or
/// subscribes first and cuts off what is in both: then no line is lost or comes twice.
///
/// `since` and `instance` choose among all lines; `tail` then keeps the newest of the history, over
/// all instances together, and never limits what is live. No more than `tail` lines are held.
///
/// ```
/// use std::time::SystemTime;
///
/// use futures_util::{StreamExt as _, stream};
/// use provider_logs::select_lines;
/// use provider_types::{CallContext, FunctionName, FunctionRef, Line, LogRequest, Namespace};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), provider_types::NameError> {
/// let function = FunctionRef::new(FunctionName::new("figlet")?, Namespace::default());
/// let mut request = LogRequest::new(CallContext::default(), function);
/// request.tail = Some(1);
///
/// let now = SystemTime::now();
/// let history = [Line::new("a", now, "first"), Line::new("b", now, "second")];
/// let lines: Vec<_> = select_lines(&request, history, stream::empty()).collect().await;
/// assert_eq!(lines.len(), 1);
/// # Ok(())
/// # }
/// ```
pub fn select_lines(
    request: &LogRequest,
    history: impl IntoIterator<Item = Line>,
    live: impl Stream<Item = LogEvent> + Send + 'static,
) -> LogStream {
    let (instance, since) = (request.instance.clone(), request.since);
    let wanted = move |line: &Line| {
        instance.as_ref().is_none_or(|it| *it == line.instance)
            && since.is_none_or(|since| line.timestamp >= since)
    };
    let mut kept = VecDeque::new();
    for line in history.into_iter().filter(|line| wanted(line)) {
        if request.tail.is_some_and(|tail| kept.len() == tail) {
            kept.pop_front();
        }
        kept.push_back(Ok(LogEvent::Line(line)));
    }
    let history = stream::iter(kept);
    if !request.follow {
        return history.boxed();
    }
    let live = live.filter_map(move |event| {
        let chosen = match event {
            LogEvent::Line(line) => wanted(&line).then_some(LogEvent::Line(line)),
            other => Some(other),
        };
        std::future::ready(chosen.map(Ok))
    });
    history.chain(live).boxed()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use provider_types::{CallContext, FunctionName, FunctionRef, Namespace};

    use super::*;

    fn line(instance: &str, second: u64) -> Line {
        let time = UNIX_EPOCH + Duration::from_secs(second);
        Line::new(instance, time, format!("{instance}{second}"))
    }

    async fn select(change: impl FnOnce(&mut LogRequest)) -> Vec<String> {
        let function = FunctionRef::new(FunctionName::new("f").unwrap(), Namespace::default());
        let mut request = LogRequest::new(CallContext::default(), function);
        change(&mut request);
        let history = [line("a", 1), line("b", 2), line("a", 3), line("b", 3)];
        let live = stream::iter([
            LogEvent::Line(line("a", 4)),
            LogEvent::Dropped(7),
            LogEvent::Line(line("b", 5)),
            LogEvent::Line(line("a", 6)),
        ]);
        select_lines(&request, history, live)
            .map(|event| match event.unwrap() {
                LogEvent::Line(line) => line.text,
                LogEvent::Dropped(lines) => format!("dropped {lines}"),
                other => format!("{other:?}"),
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn all_of_the_history_is_the_default() {
        assert_eq!(select(|_| {}).await, ["a1", "b2", "a3", "b3"]);
    }

    #[tokio::test]
    async fn tail_counts_what_the_other_two_have_left() {
        assert_eq!(select(|it| it.tail = Some(3)).await, ["b2", "a3", "b3"]);
        assert_eq!(select(|it| it.tail = Some(9)).await.len(), 4);
        let of_a = select(|it| {
            it.tail = Some(2);
            it.instance = Some("a".to_owned());
        });
        assert_eq!(of_a.await, ["a1", "a3"]);
        let late = select(|it| {
            it.tail = Some(3);
            it.since = Some(UNIX_EPOCH + Duration::from_secs(3));
        });
        assert_eq!(late.await, ["a3", "b3"]);
    }

    #[tokio::test]
    async fn following_goes_on_past_the_tail_and_tells_gaps() {
        let all = select(|it| {
            it.tail = Some(1);
            it.follow = true;
        });
        assert_eq!(all.await, ["b3", "a4", "dropped 7", "b5", "a6"]);
        let of_b = select(|it| {
            it.follow = true;
            it.instance = Some("b".to_owned());
            it.since = Some(UNIX_EPOCH + Duration::from_secs(3));
        });
        assert_eq!(of_b.await, ["b3", "dropped 7", "b5"]);
        let later = select(|it| {
            it.follow = true;
            it.since = Some(UNIX_EPOCH + Duration::from_secs(5));
        });
        assert_eq!(later.await, ["dropped 7", "b5", "a6"]);
    }
}
