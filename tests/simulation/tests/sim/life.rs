//! One seed: a provider that lives, is killed, lives again, and comes to rest.

use std::sync::Arc;
use std::time::Duration;

use provider_engine::{
    Engine, EngineConfig, EngineError, LAST_ERROR_ANNOTATION, STATUS_ANNOTATION, Simulated,
};
use provider_types::wire::FunctionStatus;
use provider_types::{CallContext, FunctionRef, GetFunction, Provider as _};

use crate::clients::{all_functions, call, caller, crash_one, look, mischief, observer, operator};
use crate::runtime::{BAD_IMAGES, FakeRuntime, live, set_lost};
use crate::world::{Instance, Outcome, World};

/// Longer than the longest pause between two starts and the time to get ready together.
const REST: Duration = Duration::from_secs(400);

/// How long an orderly end may take before what is left is killed.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// No life takes so long; one that does is stuck.
const LONGEST: Duration = Duration::from_secs(3 * 60 * 60);

/// How a life of the provider ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    ShutDown,
}

/// Runs a seed.
pub(crate) fn run(seed: u64, print: bool) -> Outcome {
    let world = World::new(seed, print);
    world.log(format_args!("seed {seed}: {:?}", world.troubles));
    let lives = if world.troubles.kills {
        2 + world.below(3)
    } else {
        1
    };
    for number in 1..=lives {
        let troubled = number < lives;
        one_life(&world, number, |engine| async move {
            if troubled {
                troubled_life(engine.0, engine.1).await
            } else {
                last_life(engine.0, engine.1).await
            }
        });
        if world.is_broken() {
            return world.outcome();
        }
    }
    one_life(&world, lives + 1, |engine| afterlife(engine.0, engine.1));
    world.outcome()
}

/// Opens an engine on a clock of its own, and lets go of everything when `live` has ended.
fn one_life<F>(
    world: &Arc<World>,
    number: u64,
    live_it: impl FnOnce((Arc<World>, Arc<Engine>)) -> F,
) where
    F: Future<Output = End>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let end = runtime.block_on(async {
        world.begin_life();
        world.log(format_args!("life {number} begins"));
        let ids: Vec<_> = {
            let mut runtime = world.runtime();
            for instance in runtime.all.values_mut() {
                instance.told_to_stop = false;
                instance.left_over = !world.troubles.survives_restart;
            }
            runtime.all.keys().cloned().collect()
        };
        for id in ids {
            live(world, &id);
        }
        let life = async {
            let engine = open(world, number).await;
            look(world, &engine).await;
            live_it((Arc::clone(world), engine)).await
        };
        let end = tokio::select! {
            biased;
            () = world.end.notified() => End::Killed,
            end = tokio::time::timeout(LONGEST, life) => end.unwrap_or_else(|_| {
                world.broken("it does not go on");
                End::Killed
            }),
        };
        world.log(format_args!("life {number} ends: {end:?}"));
        world.end_life();
        end
    });
    // A killed process writes nothing more, whatever is dropped here.
    world.disk.set_off(end == End::Killed);
    drop(runtime);
    world.pass(world.millis(0, 10_000));
    world.disk.set_off(false);
    world.disk.set_full(false);
    if end == End::Killed && world.chance(50) {
        world.disk.cut_power();
    }
    world.book().killed();
    let mut runtime = world.runtime();
    runtime.listener = None;
    runtime.lost = false;
    runtime.blind_since = None;
    if !world.troubles.survives_restart && !world.troubles.leaves_instances {
        runtime.all.clear();
    }
}

async fn open(world: &Arc<World>, number: u64) -> Arc<Engine> {
    loop {
        let mut config = EngineConfig::new("simulated");
        config.prepare_timeout = Duration::from_secs(60);
        config.seed = world.below(u64::MAX);
        config.route.seed = world.below(u64::MAX);
        config.clock = {
            let world = Arc::clone(world);
            Arc::new(move || std::time::UNIX_EPOCH + world.now())
        };
        let disk = {
            let world = Arc::clone(world);
            Simulated {
                disk: world.disk.clone(),
                pause: Arc::new(move || {
                    let most = if world.chance(3) { 1_000 } else { 5 };
                    world.millis(0, most)
                }),
            }
        };
        let runtime = Arc::new(FakeRuntime(Arc::clone(world)));
        match Engine::open_simulated(config, runtime, disk).await {
            Ok(engine) => return engine,
            Err(EngineError::Runtime(error)) => {
                world.log(format_args!("life {number}: not opened: {error}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => {
                world.broken(format_args!("the engine does not open: {error:?}"));
                panic!("{error:?}");
            }
        }
    }
}

/// Some time with everybody, until it is killed or told to end.
async fn troubled_life(world: Arc<World>, engine: Arc<Engine>) -> End {
    everybody(&world, &engine);
    tokio::time::sleep(world.millis(10, 60_000)).await;
    if world.chance(70) {
        return End::Killed;
    }
    shut_down(&world, &engine).await;
    End::ShutDown
}

/// Starts all clients; those that come to an end are given back.
fn everybody(world: &Arc<World>, engine: &Arc<Engine>) -> Vec<tokio::task::JoinHandle<()>> {
    let mut clients = Vec::new();
    for _ in 0..=world.below(3) {
        clients.push(tokio::spawn(operator(
            Arc::clone(world),
            Arc::clone(engine),
            5 + world.below(15),
        )));
    }
    for _ in 0..=world.below(5) {
        clients.push(tokio::spawn(caller(
            Arc::clone(world),
            Arc::clone(engine),
            5 + world.below(25),
        )));
    }
    tokio::spawn(observer(Arc::clone(world), Arc::clone(engine)));
    clients
}

/// Everybody does what they came for; then the troubles end, and all comes to rest.
async fn last_life(world: Arc<World>, engine: Arc<Engine>) -> End {
    let trouble = tokio::spawn(mischief(Arc::clone(&world)));
    for client in everybody(&world, &engine) {
        client.await.unwrap();
    }
    trouble.abort();
    if world.troubles.lost_events {
        // The last that is lost: nothing that comes later makes up for it.
        set_lost(&world, true);
        tokio::time::sleep(world.millis(0, 2_000)).await;
        crash_one(&world);
        set_lost(&world, false);
    }
    tokio::time::sleep(world.millis(0, 5_000)).await;
    world.end_troubles();
    come_to_rest(&world, &engine).await;
    if world.chance(50) {
        return End::Killed;
    }
    shut_down(&world, &engine).await;
    End::ShutDown
}

/// What was acknowledged is there once more, and then there is an orderly end.
async fn afterlife(world: Arc<World>, engine: Arc<Engine>) -> End {
    world.end_troubles();
    come_to_rest(&world, &engine).await;
    shut_down(&world, &engine).await;
    End::ShutDown
}

async fn shut_down(world: &World, engine: &Engine) {
    world.log("shutting down");
    let by = world.now() + SHUTDOWN;
    world.book().shut_down_by = Some(by);
    engine.shutdown(SHUTDOWN).await;
    let alive: Vec<_> = {
        let runtime = world.runtime();
        let alive = runtime.all.iter().filter(|(_, it)| it.lives());
        alive.map(|(id, _)| id.to_string()).collect()
    };
    // A runtime in trouble may have refused.
    if !alive.is_empty() && !world.in_trouble() {
        world.broken(format_args!("after the shutdown there runs {alive:?}"));
    }
}

/// Waits until all is as it was asked for, and looks closely.
async fn come_to_rest(world: &Arc<World>, engine: &Arc<Engine>) {
    let deadline = world.now() + REST;
    loop {
        match settled(world, engine).await {
            Ok(()) => break,
            Err(why) if world.now() > deadline => {
                world.broken(format_args!("it does not come to rest: {why}"));
                return;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
    world.log("all is at rest");
    look(world, engine).await;
    for name in all_functions() {
        let Some(status) = status(engine, &name).await else {
            continue;
        };
        // One that is asleep is woken.
        let patience = if status.replicas > 0 { 1 } else { 60 };
        if is_good(&status) && !call(world, engine, &name, Duration::from_secs(patience)).await {
            world.broken(format_args!("a call of {name} fails, and all is at rest"));
        }
        if let Some(slot) = engine.resolver().table().get(&name)
            && (slot.in_flight() > 0 || slot.waiting() > 0)
        {
            world.broken(format_args!(
                "{name} has calls that there are not: {slot:?}"
            ));
        }
    }
}

async fn status(engine: &Engine, name: &FunctionRef) -> Option<FunctionStatus> {
    let request = GetFunction::new(CallContext::default(), name.clone(), false);
    engine.function_status(request).await.ok()
}

fn is_good(status: &FunctionStatus) -> bool {
    !BAD_IMAGES.contains(&status.image.as_str())
}

/// Whether what runs is what is wanted.
async fn settled(world: &World, engine: &Engine) -> Result<(), String> {
    let mut deployed = Vec::new();
    for name in all_functions() {
        if let Some(status) = status(engine, &name).await {
            deployed.push((name, status));
        }
    }
    let runtime = world.runtime();
    for (id, instance) in &runtime.all {
        let function = &instance.spec.function.function;
        let Some((_, status)) = deployed.iter().find(|(name, _)| name == function) else {
            return Err(format!("{id} is left, and {function} is not deployed"));
        };
        if instance.variable("TAG") != status.env_vars.get("TAG").map(String::as_str) {
            return Err(format!("{id} is of another version than {status:?}"));
        }
        if is_good(status) && (!instance.lives() || instance.told_to_stop) {
            return Err(format!("{id} has ended and is left"));
        }
        if !instance.calls.is_empty() {
            return Err(format!("{id} has calls: {:?}", instance.calls));
        }
    }
    for (name, status) in &deployed {
        let of_it = |it: &&Instance| it.spec.function.function == *name && it.lives();
        let living = runtime.all.values().filter(of_it).count() as u64;
        let good = is_good(status);
        if living > status.replicas || good && living < status.replicas {
            return Err(format!("{living} instances run for {status:?}"));
        }
        let said = status.annotations.contains_key(STATUS_ANNOTATION);
        let wrong = said != (status.replicas == 0);
        if good && (wrong || status.available_replicas != status.replicas) {
            return Err(format!("not reported as ready: {status:?}"));
        }
        let quiet = ["crash", "memory"].contains(&status.image.as_str()) || status.replicas == 0;
        let explained = said && status.annotations.contains_key(LAST_ERROR_ANNOTATION);
        if !good && !quiet && !explained {
            return Err(format!("does not say what is wrong: {status:?}"));
        }
    }
    let mut book = world.book();
    for (id, instance) in &runtime.all {
        let namespace = instance.spec.function.function.namespace.to_string();
        for (secret, value) in &instance.spec.secrets {
            let value = String::from_utf8_lossy(value).parse().ok();
            let known = book
                .secret(&(namespace.clone(), secret.to_string()))
                .values();
            if !known.contains(&value) {
                return Err(format!(
                    "{id} sees {value:?} of {secret}; possible is {known:?}"
                ));
            }
        }
    }
    Ok(())
}
