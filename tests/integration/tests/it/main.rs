//! `faas-process` as a whole: the real binary, real programs, a real client.
//!
//! * `starting`: flags, variables, addresses, credentials, exit codes
//! * `deploying`: what an image and a command may be, and what is refused
//! * `invoking`: modes, environment, streams, secrets
//! * `scaling`: replicas, updates, deletion
//! * `updating`: updates, scaling down and deletion while calls are under way
//! * `reconciling`: processes that crash, and a provider that is killed at any moment
//! * `demand`: to and from zero, autoscaling, limits and queues
//! * `limits`: memory, the host, usage, the doctor
//! * `logs`: lines, follow
//! * `ending`: signals, kills, restarts
//! * `state`: backup, restore, export; kills; damaged stores
//! * `disk`: a disk that is full or read-only
//! * `service_manager`: sockets from it, news to it
//! * `stack`: functions of a stack file, followed while they change
//! * `taking_over`: one version from another
//! * `sandbox`: what a function may touch

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod client;
mod demand;
mod deploying;
mod disk;
mod ending;
mod invoking;
mod limits;
mod logs;
mod reconciling;
mod sandbox;
mod scaling;
mod service_manager;
mod stack;
mod starting;
mod state;
mod support;
mod taking_over;
mod updating;
