//! What can be set of a table.

use std::time::Duration;

/// Settings of a [`Table`](crate::Table), the same for all its functions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableConfig {
    /// How long a call without a deadline waits for a function whose replicas are starting; one
    /// that has a deadline waits until that. Default 20 s.
    pub ready_wait: Duration,
    /// How long a call waits when all replicas are at their limit, or until its deadline if that is
    /// earlier. Default 1 s.
    pub queue_wait: Duration,
    /// How many calls of one function may wait at a time; further ones are refused as overloaded.
    /// Default 1,024.
    pub queue_len: usize,
    /// How long a replica that refused a connection gets no calls while there is another one.
    /// Default 2 s.
    pub ejection: Duration,
    /// What a refused caller is told about when to try again. Default 1 s.
    pub retry_after: Duration,
    /// Start of the random numbers that pick two replicas to choose from. Default 0.
    pub seed: u64,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            ready_wait: Duration::from_secs(20),
            queue_wait: Duration::from_secs(1),
            queue_len: 1024,
            ejection: Duration::from_secs(2),
            retry_after: Duration::from_secs(1),
            seed: 0,
        }
    }
}
