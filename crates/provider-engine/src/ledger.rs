//! What the host has, and what of it is promised to functions.
//!
//! A replica is promised what its function requests; where that is not said, what it is limited to,
//! as Kubernetes does. Where neither is said it is promised nothing. During an update the version
//! that goes counts no more, although both run for a while: else a function that takes more than
//! half of the host could not be updated.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use provider_types::{ErrorKind, FunctionRef, FunctionSpec, Host, ProviderError, Quantity};

/// What is promised to whom.
#[derive(Debug)]
pub(crate) struct Ledger {
    host: Host,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<FunctionRef, Entry>,
    /// Of all entries.
    memory: u128,
    millicores: u128,
}

#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    /// By the state of the function.
    claim: Claim,
    /// By an operation that is not through.
    wanted: Option<Claim>,
}

/// What some replicas need.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Bytes for each.
    memory: u64,
    /// Thousandths of a core for each.
    millicores: u64,
    replicas: u64,
}

/// A claim of an operation. Dropped before it is kept, it is void.
#[derive(Debug)]
pub(crate) struct Promise<'a> {
    ledger: &'a Ledger,
    function: FunctionRef,
}

// === impl Claim ===

impl Claim {
    /// What so many replicas of a function need.
    pub(crate) fn of(spec: &FunctionSpec, replicas: u64) -> Self {
        let asked = [&spec.requests, &spec.limits];
        let memory = asked.iter().find_map(|it| it.as_ref()?.memory.as_ref());
        let cpu = asked.iter().find_map(|it| it.as_ref()?.cpu.as_ref());
        Self {
            memory: memory.map_or(0, Quantity::bytes),
            millicores: cpu.map_or(0, Quantity::millicores),
            replicas,
        }
    }

    fn is_nothing(&self) -> bool {
        self.memory == 0 && self.millicores == 0
    }

    fn memory(&self) -> u128 {
        u128::from(self.memory) * u128::from(self.replicas)
    }

    fn millicores(&self) -> u128 {
        u128::from(self.millicores) * u128::from(self.replicas)
    }
}

// === impl Entry ===

impl Entry {
    fn counts(&self) -> Claim {
        self.wanted.unwrap_or(self.claim)
    }
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            host,
            books: Mutex::default(),
        }
    }

    /// Refuses what contradicts itself, and what no replica could ever be given here.
    pub(crate) fn check(&self, spec: &FunctionSpec) -> Result<(), ProviderError> {
        let quantity = |resources: &Option<provider_types::Resources>, cpu: bool| {
            let resources = resources.as_ref()?;
            let of = if cpu {
                &resources.cpu
            } else {
                &resources.memory
            };
            of.clone()
        };
        for (name, cpu) in [("memory", false), ("cpu", true)] {
            let request = quantity(&spec.requests, cpu);
            // 0 is no limit.
            let limit = quantity(&spec.limits, cpu).filter(|limit| limit.millicores() > 0);
            if let (Some(request), Some(limit)) = (&request, &limit)
                && request > limit
            {
                return Err(ProviderError::invalid(format!(
                    "requests.{name} is {request} and limits.{name} is {limit}: a replica cannot \
                     be promised more than it may use"
                )));
            }
            for (field, asked) in [("requests", request), ("limits", limit)] {
                let Some(asked) = asked else { continue };
                let (needs, has) = if cpu {
                    (asked.millicores(), self.host.millicores)
                } else {
                    (asked.bytes(), self.host.memory_bytes)
                };
                if let Some(has) = has.filter(|has| needs > *has) {
                    let has = Amount {
                        cpu,
                        of: has.into(),
                    };
                    return Err(ProviderError::invalid(format!(
                        "{field}.{name} is {asked}, and this host has {has} in all"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Promises a function what so many replicas need, in place of what it was promised before.
    /// What does not exceed that is never refused.
    ///
    /// [`ErrorKind::InvalidArgument`] where the host could not do it if it had nothing else to do,
    /// [`ErrorKind::ResourceExhausted`] where it cannot now.
    pub(crate) fn promise(
        &self,
        function: &FunctionRef,
        claim: Claim,
    ) -> Result<Promise<'_>, ProviderError> {
        let mut books = self.books();
        let before = books.entries.get(function).copied().unwrap_or_default();
        let counted = before.counts();
        let check = |cpu: bool, needs: u128, had: u128, sum: u128, has: Option<u64>| {
            let Some(has) = has.map(u128::from) else {
                return Ok(());
            };
            let others = sum.saturating_sub(had);
            if needs <= had || needs <= has.saturating_sub(others) {
                return Ok(());
            }
            let amount = |of| Amount { cpu, of };
            let each = needs / u128::from(claim.replicas.max(1));
            let mut words = format!(
                "function: {function}: {} of {} of {} each need {}, and this host has {}",
                if claim.replicas == 1 {
                    "1 replica".to_owned()
                } else {
                    format!("{} replicas", claim.replicas)
                },
                if cpu { "CPU" } else { "memory" },
                amount(each),
                amount(needs),
                amount(has),
            );
            if needs > has {
                return Err(ProviderError::invalid(words));
            }
            words.push_str(&format!(
                ", of which {} are promised to other functions and {} are left",
                amount(others),
                amount(has.saturating_sub(others)),
            ));
            Err(ProviderError::new(ErrorKind::ResourceExhausted, words))
        };
        check(
            false,
            claim.memory(),
            counted.memory(),
            books.memory,
            self.host.memory_bytes,
        )?;
        check(
            true,
            claim.millicores(),
            counted.millicores(),
            books.millicores,
            self.host.millicores,
        )?;
        books.set(
            function,
            Entry {
                wanted: Some(claim),
                ..before
            },
        );
        Ok(Promise {
            ledger: self,
            function: function.clone(),
        })
    }

    /// Takes down what a function needs by its state, whatever the host has.
    pub(crate) fn record(&self, function: &FunctionRef, claim: Claim) {
        let mut books = self.books();
        let before = books.entries.get(function).copied().unwrap_or_default();
        if before.claim != claim {
            books.set(function, Entry { claim, ..before });
        }
    }

    pub(crate) fn forget(&self, function: &FunctionRef) {
        self.books().set(function, Entry::default());
    }

    /// How many replicas of that claim a function can have besides what others were promised.
    pub(crate) fn room(&self, function: &FunctionRef, claim: Claim) -> u64 {
        if claim.is_nothing() {
            return u64::MAX;
        }
        let books = self.books();
        let own = books.entries.get(function).copied().unwrap_or_default();
        let own = own.counts();
        let room = |each: u64, sum: u128, own: u128, has: Option<u64>| match has {
            Some(has) if each > 0 => {
                let left = u128::from(has).saturating_sub(sum.saturating_sub(own));
                u64::try_from(left / u128::from(each)).unwrap_or(u64::MAX)
            }
            _ => u64::MAX,
        };
        let memory = room(
            claim.memory,
            books.memory,
            own.memory(),
            self.host.memory_bytes,
        );
        let cpu = room(
            claim.millicores,
            books.millicores,
            own.millicores(),
            self.host.millicores,
        );
        memory.min(cpu)
    }

    /// What is promised beyond what the host has, in words; `None` where it has enough. So it can be
    /// with functions that were deployed on another host.
    pub(crate) fn excess(&self) -> Option<String> {
        let books = self.books();
        let both = [
            (false, books.memory, self.host.memory_bytes),
            (true, books.millicores, self.host.millicores),
        ];
        let beyond = both.into_iter().filter_map(|(cpu, promised, has)| {
            let has = has.map(u128::from).filter(|has| promised > *has)?;
            let amount = |of| Amount { cpu, of };
            Some(format!(
                "{} of {} where the host has {}",
                amount(promised),
                if cpu { "CPU" } else { "memory" },
                amount(has)
            ))
        });
        let beyond: Vec<String> = beyond.collect();
        (!beyond.is_empty()).then(|| beyond.join(", and "))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Books ===

impl Books {
    fn set(&mut self, function: &FunctionRef, entry: Entry) {
        let after = entry.counts();
        let before = if entry.claim.is_nothing() && entry.wanted.is_none() {
            self.entries.remove(function)
        } else {
            self.entries.insert(function.clone(), entry)
        };
        let before = before.unwrap_or_default().counts();
        self.memory = (self.memory + after.memory()).saturating_sub(before.memory());
        self.millicores =
            (self.millicores + after.millicores()).saturating_sub(before.millicores());
    }
}

// === impl Promise ===

impl Promise<'_> {
    /// The function's state is what was promised now.
    pub(crate) fn keep(self) {
        let mut books = self.ledger.books();
        if let Some(mut entry) = books.entries.get(&self.function).copied() {
            entry.claim = entry.counts();
            books.set(&self.function, entry);
        }
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        if let Some(mut entry) = books.entries.get(&self.function).copied() {
            entry.wanted = None;
            books.set(&self.function, entry);
        }
    }
}

/// An amount as an operator reads it.
struct Amount {
    cpu: bool,
    of: u128,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u128); 4] = [
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
            ("bytes", 1),
        ];
        let (unit, size) = if self.cpu {
            ("cores", 1000)
        } else {
            let large_enough = |(_, size): &(&str, u128)| self.of >= *size;
            UNITS.into_iter().find(large_enough).unwrap_or(("bytes", 1))
        };
        let (whole, rest) = (self.of / size, self.of % size);
        // Down to thousandths for cores, to tenths for bytes.
        if rest == 0 {
            write!(f, "{whole} {unit}")
        } else if self.cpu {
            let rest = format!("{rest:03}");
            write!(f, "{whole}.{} {unit}", rest.trim_end_matches('0'))
        } else {
            write!(f, "{whole}.{} {unit}", rest * 10 / size)
        }
    }
}

#[cfg(test)]
mod tests;
