//! An OpenFaaS-compatible provider that runs local programs as functions.
//!
//! Reads the configuration, opens the engine on the process runtime, serves until a signal comes,
//! drains. With a command it does that instead (`commands.rs`). The same binary is the watchdog of
//! each of its functions: then nothing of this runs.

mod address;
mod args;
mod banner;
mod bounds;
mod commands;
mod config;
mod control;
mod failure;
mod hand_over;
mod log_bounds;
mod service_manager;
mod setup;
mod signals;
mod stacks;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use provider_http::{HandedSocket, Server};
use provider_route::{Table, TableConfig};
use runtime_process::{WATCHDOG_ARGUMENT, watchdog_main};
use tokio::sync::oneshot;

use crate::args::CommandLine;
use crate::banner::Banner;
use crate::config::Settings;
use crate::failure::{Failure, Kind, OrFail as _};
use crate::service_manager::Notify;
use crate::signals::Signals;

fn main() -> ExitCode {
    // The rules of a function's sandbox bind threads: none may exist by then.
    if env::args_os()
        .nth(1)
        .is_some_and(|it| it == WATCHDOG_ARGUMENT)
    {
        return watchdog_main();
    }
    let CommandLine { command, serve } = CommandLine::parse();
    let variable = |name: &str| env::var(name).ok();
    let done = match command {
        Some(command) => command.run(variable),
        None => service_manager::sockets(variable)
            .and_then(|sockets| Ok((Settings::read(serve, variable)?, sockets)))
            .and_then(|(settings, sockets)| run(&settings, sockets)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell where this fails.
            let _ = writeln!(io::stderr(), "faas-process: {failure}");
            failure.exit_code()
        }
    }
}

fn run(settings: &Settings, inherited: Vec<HandedSocket>) -> Result<(), Failure> {
    setup::logging()?;
    setup::open_files();
    // The first table makes the process known to the kernel (membarrier). That takes no time while
    // there is one thread; with more the kernel waits for every core, for 10 ms and longer.
    drop(Table::new(TableConfig::default()));
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .or_fail(Kind::Running)?;
    let served = control.block_on(serve(settings, inherited));
    control.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(settings: &Settings, inherited: Vec<HandedSocket>) -> Result<(), Failure> {
    let notify = Notify::new(env::var("NOTIFY_SOCKET").ok().as_deref());
    let signals = Signals::new().or_fail(Kind::Running)?;
    let auth = setup::credentials(&settings.http)?;
    let mut take_over = hand_over::ask(settings.take_over, &settings.state_dir).await?;
    let mut offered = hand_over::sockets(take_over.as_mut());
    offered.extend(inherited);
    let mut listeners = address::bind(settings, auth.as_deref(), offered)?;
    let (taken, passing) = (listeners.taken().to_vec(), listeners.hand_over());
    let passing = passing.or_fail(Kind::Running)?;
    let addresses: Vec<_> = listeners.addresses().cloned().collect();
    let gateway_url = addresses.first().map(address::gateway_url);
    let runtime = setup::runtime(settings, gateway_url.unwrap_or_default())?;
    let (sandbox, private_temp) = (runtime.sandbox(), runtime.has_private_temp());
    let place = runtime.place().to_owned();
    let (limits, secrets) = (runtime.limits(), runtime.secrets());

    let config = setup::engine(settings);
    let opened = hand_over::open(config, Arc::new(runtime), take_over.as_mut(), &signals).await;
    let Ok(Some(engine)) = opened else {
        settings.clean_up(&place);
        return opened.map(drop);
    };

    let mut server = Server::builder(engine.clone())
        .resolver(engine.resolver())
        .secrets(engine.clone())
        .namespaces(engine.clone())
        .logs(engine.clone())
        .config(settings.http.clone())
        .listeners(listeners);
    if let Some(auth) = auth {
        server = server.auth(auth);
    }
    let banner = Banner {
        settings,
        addresses,
        sandbox,
        private_temp,
        secrets,
        limits,
        root: rustix::process::geteuid().is_root(),
    };
    if let Some(before) = take_over {
        let taken = before.complete(&engine, taken).await;
        if let Err(failure) = taken.or_fail(Kind::Running) {
            engine.shutdown(Duration::ZERO).await;
            settings.clean_up(&place);
            return Err(failure);
        }
    }
    let control = control::listen(&settings.state_dir);
    banner.warn();
    // Where nobody reads it, nobody misses it.
    let _ = write!(io::stdout(), "{banner}");
    notify.ready();
    let stacks = settings.stacks.as_ref();
    let stacks = stacks.map(|stacks| stacks.keep(&engine)).transpose()?;
    let (over, mut given) = oneshot::channel();
    let stop = async {
        let given = tokio::select! {
            () = signals.clone().reach(1) => {
                notify.stopping();
                None
            }
            given = control::until_given(engine.clone(), passing, control) => {
                tracing::info!("another version has taken over");
                Some(given)
            }
        };
        if let Some(stacks) = stacks {
            stacks.abort();
        }
        let _ = over.send(given);
    };
    let patience = settings.http.drain_timeout;
    let cut = async {
        // After a hand-over the server itself waits for its calls without a limit.
        signals.clone().reach(1).await;
        tokio::select! {
            () = tokio::time::sleep(patience + Duration::from_secs(1)) => {}
            () = signals.clone().reach(2) => {}
        }
    };
    let served = tokio::select! {
        served = server.serve_until(stop) => served.map(drop),
        () = cut => Ok(()),
    };
    tokio::select! {
        () = engine.shutdown(patience) => {}
        () = signals.reach(2) => {}
    }
    if let Ok(Some(given)) = given.try_recv() {
        given.finish().await;
    }
    settings.clean_up(&place);
    served.or_fail(Kind::Running)
}
