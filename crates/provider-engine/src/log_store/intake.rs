//! Where the lines of one instance go in.

use std::sync::Arc;
use std::time::Duration;

use provider_types::LogChunk;
use tokio::time::Instant;

use super::FunctionLog;

/// How long an instance may wait for room at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// For each so much time an instance may wait once more for its share of it.
const SHARE: u32 = 20;

/// Takes the lines of one instance.
///
/// A burst waits until the lines before it are written. That is bounded: a second, and a twentieth
/// of the time that goes by. Then lines are dropped and counted, and the function goes on.
#[derive(Debug)]
pub(crate) struct Intake {
    log: Arc<FunctionLog>,
    instance: Arc<str>,
    /// How long it may wait.
    patience: Duration,
    /// When `patience` was right.
    as_of: Instant,
}

impl Intake {
    pub(crate) fn new(log: Arc<FunctionLog>, instance: &str) -> Self {
        Self {
            log,
            instance: instance.into(),
            patience: PATIENCE,
            as_of: Instant::now(),
        }
    }

    /// Keeps lines, or counts them where there is no room for them in time.
    pub(crate) async fn put(&mut self, mut chunk: LogChunk) {
        if chunk.lines.last().is_some_and(|last| *last != b'\n') {
            chunk.lines.push(b'\n');
        }
        let size = chunk.lines.len();
        let room = match self.log.room(size) {
            Some(room) => Some(room),
            None => self.wait(size).await,
        };
        self.log.put(&self.instance, chunk, room);
    }

    async fn wait(&mut self, size: usize) -> Option<super::function_log::Room> {
        let now = Instant::now();
        let gained = now.saturating_duration_since(self.as_of) / SHARE;
        self.patience = self.patience.saturating_add(gained).min(PATIENCE);
        let room = tokio::time::timeout(self.patience, self.log.room_in_time(size)).await;
        self.as_of = Instant::now();
        self.patience = self.patience.saturating_sub(self.as_of - now);
        room.ok().flatten()
    }
}
