//! An OpenFaaS-compatible provider that runs local programs as functions.

fn main() {}
