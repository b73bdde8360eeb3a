//! Those who use the provider: operators who change things, callers, and what goes wrong around
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use provider_engine::{Engine, LAST_EXIT_ANNOTATION};
use provider_types::wire::FunctionStatus;
use provider_types::{
    Call, CallContext, CreateNamespace, CreateSecret, DeleteFunction, DeleteNamespace,
    DeleteSecret, DeployFunction, ExitReason, FunctionRef, FunctionSpec, GetFunction, InstanceId,
    Lease as _, ListFunctions, Namespace, NamespaceStore as _, Outcome, Provider as _,
    ProviderError, Report, ResolveError, Resolver as _, ScaleFunction, SecretName,
    SecretStore as _, UpdateFunction, UpdateSecret,
};
use tokio::sync::Notify;

use crate::history::Answer;
use crate::models::{Change, Put, Version};
use crate::runtime::{BAD_IMAGES, behind, end, set_lost};
use crate::world::World;

/// The functions of a seed; the last one has a namespace of its own.
const FUNCTIONS: [&str; 4] = ["a", "b", "c", "d.extra"];
const SECRETS: [&str; 2] = ["key", "token"];

pub(crate) fn function(name: &str) -> FunctionRef {
    FunctionRef::parse_dotted(name, &Namespace::default()).unwrap()
}

pub(crate) fn all_functions() -> Vec<FunctionRef> {
    FUNCTIONS.into_iter().map(function).collect()
}

fn context() -> CallContext {
    CallContext::default()
}

fn answer(result: &Result<Outcome, ProviderError>) -> Answer {
    match result {
        Ok(_) => Answer::Done,
        Err(error)
            if error
                .message()
                .starts_with("the state could not be written") =>
        {
            Answer::Failed
        }
        Err(_) => Answer::Refused,
    }
}

fn shown(result: &Result<Outcome, ProviderError>) -> String {
    match result {
        Ok(outcome) => format!("{:?}", outcome.progress),
        Err(error) => format!("{:?}: {}", error.kind(), error.message()),
    }
}

/// Someone who deploys, updates, scales and deletes.
pub(crate) async fn operator(world: Arc<World>, engine: Arc<Engine>, operations: u64) {
    for _ in 0..operations {
        tokio::time::sleep(world.millis(0, 6_000)).await;
        let (own_world, own_engine) = (Arc::clone(&world), Arc::clone(&engine));
        let operation = async move {
            match own_world.below(20) {
                0..14 => on_function(&own_world, &own_engine).await,
                14..18 => on_secret(&own_world, &own_engine).await,
                _ => on_namespace(&own_world, &own_engine).await,
            }
        };
        if world.chance(5) {
            // A client that does not wait for its answer.
            drop(tokio::time::timeout(world.millis(0, 500), operation).await);
        } else {
            operation.await;
        }
    }
}

/// A version of a function.
fn draw_version(world: &World, name: &FunctionRef) -> (FunctionSpec, Version) {
    let bad = world.troubles.bad_images && world.chance(35);
    let image = match bad {
        true => *world.pick(&BAD_IMAGES),
        false if world.chance(20) => "slow",
        false => "ready",
    };
    let tag = u32::try_from(world.number()).unwrap();
    let mut spec = FunctionSpec::new(name.clone(), image);
    let mut set = |name: &str, value: &str| spec.env_vars.insert(name.to_owned(), value.to_owned());
    set("TAG", &tag.to_string());
    if world.chance(30) {
        set("max_inflight", &(1 + world.below(3)).to_string());
    }
    if world.chance(15) {
        set("grace_period", "2s");
    }
    // Where one instance at a time is all there can be, calls cannot all be served.
    let single = world.troubles.any() && world.chance(15);
    if single {
        set("single", "1");
    }
    if world.chance(25) {
        let secret = SecretName::new(world.pick::<&str>(&SECRETS)).unwrap();
        spec.secrets.push(secret);
    }
    let mut version = Version {
        tag,
        may_fail: bad || world.troubles.any(),
        crashes: ["crash", "memory"].contains(&image),
        min: (world.chance(40) && !single).then(|| 1 + world.below(3)),
        most: (world.chance(15) && !single).then_some(4),
        single,
        sleeps: world.chance(20),
    };
    let mut label = |name: &str, value: String| {
        let name = format!("com.openfaas.scale.{name}");
        spec.labels.insert(name, value);
    };
    if let Some(min) = version.min {
        label("min", min.to_string());
    }
    if let Some(most) = version.most {
        label("max", most.to_string());
        label("type", "capacity".to_owned());
        label("target", "1".to_owned());
        label("down.window", "10s".to_owned());
    }
    if version.sleeps {
        label("zero", "true".to_owned());
        label("zero-duration", format!("{}s", 5 + world.below(60)));
    }
    if version.min == version.most {
        version.most = None;
    }
    (spec, version)
}

async fn on_function(world: &Arc<World>, engine: &Engine) {
    let last = world.book().focus.clone();
    let name = match last {
        Some(last) if world.chance(50) => last,
        _ => world.pick(&all_functions()).clone(),
    };
    world.book().focus = Some(name.clone());
    let id = world.number();
    let calm = !world.troubles.any();
    let result = match world.below(10) {
        0..3 => {
            let (spec, version) = draw_version(world, &name);
            begin(world, &name, id, Change::Deploy(version), &spec.image);
            engine
                .deploy_function(DeployFunction::new(context(), spec))
                .await
        }
        3..6 => {
            let (spec, version) = draw_version(world, &name);
            begin(world, &name, id, Change::Update(version), &spec.image);
            engine
                .update_function(UpdateFunction::new(context(), spec))
                .await
        }
        6..9 => {
            let replicas = if calm {
                1 + world.below(4)
            } else {
                world.below(5)
            };
            begin(world, &name, id, Change::Scale(replicas), "");
            engine
                .scale_function(ScaleFunction::new(context(), name.clone(), replicas))
                .await
        }
        _ if calm => return,
        _ => {
            begin(world, &name, id, Change::Delete, "");
            engine
                .delete_function(DeleteFunction::new(context(), name.clone()))
                .await
        }
    };
    world.log(format_args!("operation {id} on {name}: {}", shown(&result)));
    let now = world.now();
    let mut book = world.book();
    let explained = book.function(&name).answered(id, answer(&result));
    book.note_absences(now);
    drop(book);
    world.explained(&name, explained);
}

fn begin(world: &World, name: &FunctionRef, id: u64, change: Change, image: &str) {
    world.log(format_args!("operation {id} on {name}: {change:?} {image}"));
    let now = world.now();
    let mut book = world.book();
    book.function(name).begin(id, change);
    book.note_absences(now);
}

async fn on_secret(world: &World, engine: &Engine) {
    let namespace = world.pick(&all_functions()).namespace.clone();
    let name = SecretName::new(world.pick::<&str>(&SECRETS)).unwrap();
    let id = world.number();
    let number = u32::try_from(id).unwrap();
    let value = number.to_string().into_bytes();
    let change = *world.pick(&[Put::Create(number), Put::Replace(number), Put::Remove]);
    let key = (namespace.to_string(), name.to_string());
    world.log(format_args!("operation {id} on secret {key:?}: {change:?}"));
    world.book().secret(&key).begin(id, change);
    let (ns, secret) = (namespace.clone(), name.clone());
    let result = match change {
        Put::Create(_) => {
            engine
                .create_secret(CreateSecret::new(context(), ns, secret, value))
                .await
        }
        Put::Replace(_) => {
            engine
                .update_secret(UpdateSecret::new(context(), ns, secret, value))
                .await
        }
        Put::Remove => {
            engine
                .delete_secret(DeleteSecret::new(context(), ns, secret))
                .await
        }
    };
    world.log(format_args!("operation {id}: {}", shown(&result)));
    let explained = world.book().secret(&key).answered(id, answer(&result));
    world.explained(format_args!("secret {key:?}"), explained);
}

async fn on_namespace(world: &World, engine: &Engine) {
    let namespace = function("d.extra").namespace;
    let id = world.number();
    let change = if world.chance(75) {
        Put::Create(0)
    } else {
        Put::Remove
    };
    if matches!(change, Put::Remove) && !world.troubles.any() {
        return;
    }
    world.log(format_args!(
        "operation {id} on namespace {namespace}: {change:?}"
    ));
    world.book().namespace(namespace.as_str()).begin(id, change);
    let result = match change {
        Put::Create(_) => {
            engine
                .create_namespace(CreateNamespace::new(
                    context(),
                    namespace.clone(),
                    BTreeMap::new(),
                    BTreeMap::new(),
                ))
                .await
        }
        _ => {
            engine
                .delete_namespace(DeleteNamespace::new(context(), namespace.clone()))
                .await
        }
    };
    world.log(format_args!("operation {id}: {}", shown(&result)));
    let explained = world
        .book()
        .namespace(namespace.as_str())
        .answered(id, answer(&result));
    world.explained(&namespace, explained);
}

/// Someone who calls functions.
pub(crate) async fn caller(world: Arc<World>, engine: Arc<Engine>, calls: u64) {
    for _ in 0..calls {
        tokio::time::sleep(world.millis(0, 3_000)).await;
        let name = world.pick(&all_functions()).clone();
        let patience = world.millis(1_000, 30_000);
        call(&world, &engine, &name, patience).await;
    }
}

/// A call in flight; given up wherever its task ends.
struct InFlight {
    world: Arc<World>,
    instance: InstanceId,
    call: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(instance) = self.world.runtime().all.get_mut(&self.instance) {
            instance.calls.remove(&self.call);
        }
    }
}

pub(crate) async fn call(
    world: &Arc<World>,
    engine: &Engine,
    name: &FunctionRef,
    patience: Duration,
) -> bool {
    let id = world.number();
    let begun = world.now();
    let steady = steady(world, name);
    let deadline = tokio::time::Instant::now() + patience;
    let wanted = Call::new(name).with_deadline(Some(deadline.into_std()));
    let resolved = engine.resolver().resolve(wanted).await;
    let lease = match resolved {
        Ok(lease) => lease,
        Err(error) => {
            world.log(format_args!("call {id} of {name}: {error}"));
            refused(world, name, begun, steady, &error);
            return false;
        }
    };
    let instance = behind(lease.endpoint());
    let Some((guard, ended)) = enter(world, name, &instance, id) else {
        lease.report(Report::Refused);
        return false;
    };
    let takes = match world.below(10) {
        0..6 => world.millis(1, 50),
        6..9 => world.millis(500, 15_000),
        // A tunnel.
        _ => world.millis(10_000, 60_000),
    };
    world.log(format_args!(
        "call {id} of {name} on {instance} for {takes:?}"
    ));
    tokio::select! {
        biased;
        () = ended.notified() => {
            lease.report(Report::Reset);
            world.log(format_args!("call {id}: cut off"));
        }
        () = tokio::time::sleep(takes) => lease.report(Report::Done),
    }
    drop(guard);
    drop(lease);
    world.book().served.insert(name.clone());
    true
}

/// A call has its lease: may it have it?
fn enter(
    world: &Arc<World>,
    name: &FunctionRef,
    id: &InstanceId,
    call: u64,
) -> Option<(InFlight, Arc<Notify>)> {
    let now = world.now();
    let mut wrong = None;
    let mut entered = None;
    if let Some(instance) = world.runtime().all.get_mut(id) {
        if instance.spec.function.function != *name {
            wrong = Some("belongs to another function");
        } else if !instance.ready {
            wrong = Some("never was ready");
        } else if instance.told_to_stop {
            wrong = Some("was told to stop");
        } else if instance.lives() {
            instance.calls.insert(call, now);
            if instance.calls.len() > instance.limit {
                wrong = Some("is at its limit");
            }
            entered = Some(Arc::clone(&instance.end));
        }
    } else {
        wrong = Some("is no more");
    }
    if let Some(wrong) = wrong {
        world.broken(format_args!(
            "call {call} of {name} went to {id}, which {wrong}"
        ));
    }
    let guard = InFlight {
        world: Arc::clone(world),
        instance: id.clone(),
        call,
    };
    entered.map(|ended| (guard, ended))
}

/// Whether a function certainly is there, is wanted, and nothing happens to it but updates and
/// scaling.
fn steady(world: &World, name: &FunctionRef) -> bool {
    let mut book = world.book();
    let values = book.function(name).values();
    !world.troubles.any()
        && values
            .iter()
            .all(|value| value.is_some_and(|it| it.replicas > 0))
}

/// A call found no replica: may that be?
fn refused(world: &World, name: &FunctionRef, begun: Duration, steady: bool, error: &ResolveError) {
    let mut book = world.book();
    match error {
        ResolveError::NotFound => {
            let absent = book.absent.get(name).is_some_and(|at| *at >= begun);
            let never = !book.functions.contains_key(name);
            let now = book.function(name).values().contains(&None);
            drop(book);
            if !absent && !now && !never {
                world.broken(format_args!(
                    "{name} is deployed, and a call was told it is not"
                ));
            }
        }
        _ if steady && !world.troubles.bad_images && book.served.contains(name) => {
            drop(book);
            // Where calls are limited, some find no room.
            if !matches!(error, ResolveError::Overloaded { .. }) {
                world.broken(format_args!(
                    "a call of {name} failed without any trouble: {error:?}"
                ));
            }
        }
        _ => {}
    }
}

/// Someone who looks at what is reported.
pub(crate) async fn observer(world: Arc<World>, engine: Arc<Engine>) {
    loop {
        tokio::time::sleep(world.millis(100, 4_000)).await;
        look(&world, &engine).await;
    }
}

/// Compares what is reported with what may be.
pub(crate) async fn look(world: &World, engine: &Engine) {
    for name in all_functions() {
        let status = engine
            .function_status(GetFunction::new(context(), name.clone(), false))
            .await;
        if let Ok(status) = &status {
            check_exit(world, status);
        }
        let seen = status.ok().map(|status| {
            let tag: u32 = status.env_vars["TAG"].parse().unwrap();
            (tag, status.replicas, status.available_replicas)
        });
        let explained = world.book().function(&name).seen(
            |value| value.map(|it| (it.version.tag, it.replicas)) == seen.map(|it| (it.0, it.1)),
            || format!("{seen:?}"),
        );
        world.explained(&name, explained);
    }
    for namespace in [Namespace::default(), function("d.extra").namespace] {
        let request = ListFunctions::new(context(), namespace.clone());
        if let Ok(list) = engine.list_functions(request).await {
            let names: Vec<_> = list.iter().map(|it| it.name.as_str()).collect();
            world.log(format_args!("list of {namespace}: {names:?}"));
        }
    }
}

/// An engine that is not told for longer may give up what gets ready: it waits for a minute, of
/// which the slowest instance takes a third.
const LONGEST_BLIND: Duration = Duration::from_secs(35);

/// An instance which gets ready is not taken for one that does not, unless the engine was not told
/// for so long.
fn check_exit(world: &World, status: &FunctionStatus) {
    let troubles = &world.troubles;
    let blind = {
        let runtime = world.runtime();
        let now = runtime.blind_since.map(|since| world.now() - since);
        now.unwrap_or_default().max(runtime.blind_longest)
    };
    if blind > LONGEST_BLIND {
        return;
    }
    let exit = status.annotations.get(LAST_EXIT_ANNOTATION);
    if exit.is_some_and(|exit| exit == "not ready")
        && !troubles.bad_images
        && !troubles.runtime_errors
        && !troubles.runtime_hangs
    {
        world.broken(format_args!("given up although it gets ready: {status:?}"));
    }
}

/// Lets an instance end, if there is one.
pub(crate) fn crash_one(world: &World) {
    let ids: Vec<_> = world.runtime().all.keys().cloned().collect();
    if !ids.is_empty() {
        let reasons = [
            ExitReason::Signal(9),
            ExitReason::OutOfMemory,
            ExitReason::Code(1),
        ];
        end(world, world.pick(&ids), world.pick(&reasons).clone());
    }
}

/// What goes wrong, until the troubles are over.
pub(crate) async fn mischief(world: Arc<World>) {
    loop {
        tokio::time::sleep(world.millis(100, 8_000)).await;
        match world.below(3) {
            0 if world.troubles.instances_crash => crash_one(&world),
            1 if world.troubles.lost_events => {
                set_lost(&world, true);
                tokio::time::sleep(world.millis(10, 20_000)).await;
                set_lost(&world, false);
            }
            2 if world.troubles.full_disk => {
                world.log("the disk is full");
                world.disk.set_full(true);
                tokio::time::sleep(world.millis(10, 10_000)).await;
                world.disk.set_full(false);
                world.log("the disk has room");
            }
            _ => {}
        }
    }
}
