//! Functions: deploying, looking at, updating and deleting them.

pub(super) mod environment;
pub(super) mod life;
pub(super) mod lists;
pub(super) mod names;
pub(super) mod races;
pub(super) mod statuses;
pub(super) mod updates;
