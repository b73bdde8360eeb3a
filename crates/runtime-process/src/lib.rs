//! A function runtime on child processes: no daemon, no root.
