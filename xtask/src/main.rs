//! The project's own tasks: test, ci, tidy, bench.

fn main() {}
