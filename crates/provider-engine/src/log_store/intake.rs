//! Where the lines of one instance go in.

use std::sync::Arc;
use std::time::Duration;

use provider_types::LogChunk;
use tokio::time::Instant;

use super::FunctionLog;
use super::function_log::Room;

/// How long an instance may wait for room at once: longer than a busy disk stands still.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes the lines of one instance.
///
/// A burst waits until lines before it are written. That is bounded: three seconds, and as long
/// again as the instance did not wait. After that the oldest lines that wait are dropped and
/// counted, and the function goes on without waiting until half of the room is free again.
#[derive(Debug)]
pub(crate) struct Intake {
    log: Arc<FunctionLog>,
    instance: Arc<str>,
    /// How long it may wait.
    patience: Duration,
    /// When `patience` was right.
    as_of: Instant,
    /// It waited in vain.
    behind: bool,
}

impl Intake {
    pub(crate) fn new(log: Arc<FunctionLog>, instance: &str) -> Self {
        Self {
            log,
            instance: instance.into(),
            patience: PATIENCE,
            as_of: Instant::now(),
            behind: false,
        }
    }

    /// Keeps lines; where there is no room for them in time, older ones go.
    pub(crate) async fn put(&mut self, mut chunk: LogChunk) {
        if chunk.lines.last().is_some_and(|last| *last != b'\n') {
            chunk.lines.push(b'\n');
        }
        let size = chunk.lines.len();
        self.behind = self.behind && !self.log.is_half_free();
        let room = match self.log.room(size) {
            Some(room) => Some(room),
            None if self.behind => self.log.make_room(size),
            None => match self.wait(size).await {
                Some(room) => Some(room),
                None => {
                    self.behind = true;
                    self.log.make_room(size)
                }
            },
        };
        self.log.put(&self.instance, chunk, room);
    }

    async fn wait(&mut self, size: usize) -> Option<Room> {
        let now = Instant::now();
        let gained = now.saturating_duration_since(self.as_of);
        self.patience = self.patience.saturating_add(gained).min(PATIENCE);
        let room = tokio::time::timeout(self.patience, self.log.room_in_time(size)).await;
        self.as_of = Instant::now();
        self.patience = self.patience.saturating_sub(self.as_of - now);
        room.ok().flatten()
    }
}
