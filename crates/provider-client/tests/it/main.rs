//! The client against servers that answer all that providers and gateways answer.

mod answers;
mod calls;
mod invoke;
mod logs;
mod raw;
