//! A timer for deadlines that move with each call and are seldom met.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// Goes off at a deadline that may be another one at each poll. It is set anew only when it has
/// gone off too early or must go off earlier, so a deadline that keeps moving on costs nothing.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `due` is past; then says what time it is.
    pub fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<Instant> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            let now = Instant::now();
            if now >= due {
                return Poll::Ready(now);
            }
            sleep.as_mut().reset(due);
        }
    }
}
