//! A function watchdog as one static binary, compatible with the OpenFaaS watchdogs.

fn main() {}
