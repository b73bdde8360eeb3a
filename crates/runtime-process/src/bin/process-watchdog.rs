//! The watchdog of one instance as a program of its own, for whoever embeds the runtime where the
//! running program cannot be its own watchdog (`WatchdogCommand::program`).

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime_process::watchdog_main()
}
