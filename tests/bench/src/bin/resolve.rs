//! What finding a replica costs with one function deployed and with many: `resolve FUNCTIONS…`
//! prints nanoseconds a call for each, on one thread, the median of rounds that take turns.
#![expect(clippy::print_stdout, reason = "says what it measured")]

use std::error::Error;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use async_trait::async_trait;
use provider_route::{Activator, Table, TableConfig};
use provider_types::{Call, Endpoint, FunctionRef, Namespace, ProviderError, Resolver, Scaler};

const ROUNDS: usize = 2_001;
const CALLS: u32 = 500;

/// Nothing is asleep here.
struct Nobody;

#[async_trait]
impl Scaler for Nobody {
    async fn wake(&self, _: &FunctionRef) -> Result<(), ProviderError> {
        Ok(())
    }
    async fn scale(&self, _: &FunctionRef, _: u64) -> Result<(), ProviderError> {
        Ok(())
    }
}

struct Contender {
    functions: usize,
    activator: Activator,
    called: FunctionRef,
    rounds: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut contenders = Vec::new();
    for argument in std::env::args().skip(1) {
        contenders.push(contender(argument.parse()?)?);
    }
    for round in 0..=ROUNDS {
        for contender in &mut contenders {
            let cost = measure(contender)?;
            // The first round fills the caches.
            if round > 0 {
                contender.rounds.push(cost);
            }
        }
    }
    for contender in &mut contenders {
        contender.rounds.sort_by(f64::total_cmp);
        let median = contender.rounds.get(ROUNDS / 2).copied();
        println!("{} {:.1}", contender.functions, median.unwrap_or(f64::NAN));
    }
    Ok(())
}

fn contender(functions: usize) -> Result<Contender, Box<dyn Error>> {
    let table = Table::new(TableConfig::default());
    let name = |number: usize| {
        FunctionRef::parse_dotted(&format!("function-{number}"), &Namespace::default())
    };
    for number in 0..functions {
        let endpoint = Endpoint::tcp("127.0.0.1:4000".parse()?);
        table.insert(name(number)?).add(endpoint, None);
    }
    Ok(Contender {
        functions,
        activator: Activator::new(table, Nobody),
        called: name(functions / 2)?,
        rounds: Vec::new(),
    })
}

/// Nanoseconds for a lease, taken and given back.
fn measure(contender: &Contender) -> Result<f64, Box<dyn Error>> {
    let mut context = Context::from_waker(Waker::noop());
    let begun = Instant::now();
    for _ in 0..CALLS {
        let call = Call::new(black_box(&contender.called));
        match pin!(contender.activator.resolve(call)).poll(&mut context) {
            Poll::Ready(lease) => drop(black_box(lease?)),
            Poll::Pending => return Err("a ready function was waited for".into()),
        }
    }
    Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS))
}
