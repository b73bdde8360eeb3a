//! What it costs to have many functions: `many STATE_DIR FUNCTIONS` deploys so many, through the
//! engine onto the disk, and lists them over HTTP. Prints microseconds: a deployment of the first
//! thousand, on the clock and of CPU, one of the last thousand, the same, then CPU of the list and
//! of writing the same list as JSON. CPU is that of the whole process.
#![expect(clippy::print_stdout, reason = "says what it measured")]

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream;
use provider_engine::{Engine, EngineConfig};
use provider_http::{Config, Server};
use provider_types::{
    BoxStream, CallContext, Capabilities, DeployFunction, Endpoint, FunctionRef, FunctionSpec,
    InstanceId, InstanceSpec, InstanceStats, ListFunctions, LogChunk, Namespace, Prepared,
    Provider as _, ProviderError, Quantity, Resources, Runtime, RuntimeEvent, RuntimeInstance,
    SecretName,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What is compared at the beginning and at the end.
const SOME: usize = 1_000;
/// Deployments under way at a time.
const IN_FLIGHT: usize = 16;
const ROUNDS: usize = 15;

/// Starts nothing, at once.
struct Pretend {
    tell: mpsc::UnboundedSender<RuntimeEvent>,
    told: Mutex<Option<mpsc::UnboundedReceiver<RuntimeEvent>>>,
}

#[async_trait]
impl Runtime for Pretend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn prepare(&self, _: &FunctionSpec) -> Result<Prepared, ProviderError> {
        Ok(Prepared::default())
    }
    async fn start(&self, spec: InstanceSpec) -> Result<RuntimeInstance, ProviderError> {
        drop(self.tell.send(RuntimeEvent::Ready(spec.id.clone())));
        let function = spec.function.function.clone();
        let endpoint = Endpoint::tcp(SocketAddr::from(([127, 0, 0, 1], 9)));
        Ok(RuntimeInstance::new(spec.id, function, endpoint))
    }
    async fn stop(&self, _: &InstanceId, _: Duration) -> Result<(), ProviderError> {
        Ok(())
    }
    async fn remove(&self, _: &InstanceId) -> Result<(), ProviderError> {
        Ok(())
    }
    async fn list(&self) -> Result<Vec<RuntimeInstance>, ProviderError> {
        Ok(Vec::new())
    }
    async fn stats(&self, _: &InstanceId) -> Result<InstanceStats, ProviderError> {
        Ok(InstanceStats::default())
    }
    async fn refresh_secrets(
        &self,
        _: &FunctionRef,
        _: &[(SecretName, Vec<u8>)],
    ) -> Result<(), ProviderError> {
        Ok(())
    }
    fn events(&self) -> BoxStream<RuntimeEvent> {
        let told = self
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Box::pin(stream::unfold(told, async |mut told| {
            let event = told.as_mut()?.recv().await?;
            Some((event, told))
        }))
    }
    async fn logs(&self, _: &InstanceId) -> Result<BoxStream<LogChunk>, ProviderError> {
        Ok(Box::pin(stream::empty()))
    }
}

/// A function as people deploy them.
fn spec(n: usize) -> Result<FunctionSpec, Box<dyn Error>> {
    let function = FunctionRef::parse_dotted(&format!("function-{n}"), &Namespace::default())?;
    let mut spec = FunctionSpec::new(function, format!("ghcr.io/example/function-{n}:1.0.0"));
    spec.env_process = Some("python3 index.py".to_owned());
    for (name, value) in [
        ("mode", "http"),
        ("write_timeout", "10s"),
        ("LOG_LEVEL", "info"),
    ] {
        spec.env_vars.insert(name.to_owned(), value.to_owned());
    }
    spec.labels.insert("team".to_owned(), "a".to_owned());
    spec.annotations
        .insert("topic".to_owned(), "orders".to_owned());
    let mut limits = Resources::default();
    limits.memory = Some(Quantity::parse("128Mi")?);
    spec.limits = Some(limits);
    Ok(spec)
}

/// Deploys the functions of a range; gives the microseconds of each on average, and those of CPU.
async fn deploy(
    engine: &Arc<Engine>,
    range: std::ops::Range<usize>,
) -> Result<(f64, f64), Box<dyn Error>> {
    let count = range.len() as f64;
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut running = JoinSet::new();
    for n in range {
        if running.len() == IN_FLIGHT
            && let Some(deployed) = running.join_next().await
        {
            deployed??;
        }
        let (engine, spec) = (Arc::clone(engine), spec(n)?);
        running.spawn(async move {
            let request = DeployFunction::new(CallContext::default(), spec);
            engine.deploy_function(request).await
        });
    }
    while let Some(deployed) = running.join_next().await {
        deployed??;
    }
    let clock = started.elapsed().as_secs_f64() * 1e6;
    Ok((clock / count, (cpu() - cpu_before) / count))
}

/// Microseconds of CPU that this process has used.
fn cpu() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3
}

/// Asks a server for the list and reads all of it.
fn list(address: SocketAddr, mut reply: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut connection = TcpStream::connect(address)?;
    let request = "GET /system/functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(request.as_bytes())?;
    reply.clear();
    connection.read_to_end(&mut reply)?;
    if !reply.starts_with(b"HTTP/1.1 200") {
        return Err("the list was refused".into());
    }
    Ok(reply)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(state_dir), Some(functions)) = (arguments.next(), arguments.next()) else {
        return Err("usage: many STATE_DIR FUNCTIONS".into());
    };
    let functions: usize = functions.parse()?;
    let (tell, told) = mpsc::unbounded_channel();
    let runtime = Pretend {
        tell,
        told: Mutex::new(Some(told)),
    };
    let engine = Engine::open(EngineConfig::new(state_dir), Arc::new(runtime)).await?;
    let first = deploy(&engine, 0..SOME).await?;
    deploy(&engine, SOME..functions - SOME).await?;
    let last = deploy(&engine, functions - SOME..functions).await?;

    let server = Server::builder(Arc::clone(&engine))
        .resolver(engine.resolver())
        .config(Config::default())
        .bind("127.0.0.1:0")
        .listen()?;
    let Some(address) = server.local_addr() else {
        return Err("it listens on no address".into());
    };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_until(async { drop(ended.await) }));
    let (mut lists, mut floors) = (Vec::new(), Vec::new());
    let mut reply = Vec::new();
    for round in 0..=ROUNDS {
        let request = ListFunctions::new(CallContext::default(), Namespace::default());
        let same = engine.list_functions(request).await?;
        let before = cpu();
        let bytes = std::hint::black_box(provider_types::wire::to_vec(&same));
        let floor = cpu() - before;
        drop(same);

        let before = cpu();
        let read = tokio::task::spawn_blocking(move || list(address, reply)).await?;
        let took = cpu() - before;
        reply = read.map_err(|error| error.to_string())?;
        if reply.len() < bytes.len() {
            return Err("the list is not whole".into());
        }
        // The first round is for buffers to grow.
        if round > 0 {
            lists.push(took);
            floors.push(floor);
        }
    }
    println!(
        "{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
        first.0,
        first.1,
        last.0,
        last.1,
        median(lists),
        median(floors)
    );
    let _ = end.send(());
    serving.await??;
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
