//! Whether what is seen can be explained by what was asked for.
//!
//! The engine is a black box that is told to change something and answers some time later. A
//! [`History`] keeps every state in which it may be: each operation that is under way may have been
//! done already or not, what is on disk may be behind what is in memory. An answer, or a look at
//! the state, strikes out those states that it contradicts. When none is left, something that was
//! acknowledged is lost, or something happened that nobody asked for.
//!
//! (The idea is Wing and Gong's, "Testing and verifying concurrent objects", 1993.)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// Something that can be changed, by itself.
pub(crate) trait Model {
    type Value: Clone + Ord + Debug;
    type Change: Clone + Debug;

    /// What the change makes of a value; `None` where it cannot be.
    fn apply(value: &Self::Value, change: &Self::Change) -> Option<Self::Value>;

    /// What becomes of a value when a change that was seen is taken back before it is answered.
    fn taken_back(_value: &Self::Value, _change: &Self::Change) -> Option<Self::Value> {
        None
    }

    /// What the engine may make of a value by itself.
    fn by_itself(value: &Self::Value) -> Vec<Self::Value>;

    /// Whether a refusal of the change fits to a value that came of it.
    fn undone(_value: &Self::Value, _change: &Self::Change) -> bool {
        false
    }
}

/// How an operation was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// Refused: nothing has changed.
    Refused,
    /// The disk failed: nothing has changed for now; it may have after a restart.
    Failed,
}

/// How far an operation is, in one of the possible states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// On disk, not seen yet.
    Written,
    /// Seen.
    Applied,
    /// Taken back.
    Undone,
}

/// One of the states in which the engine may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Possible<V> {
    memory: V,
    disk: V,
    /// Those under way that have begun.
    stages: BTreeMap<u64, Stage>,
}

pub(crate) struct History<M: Model> {
    possible: BTreeSet<Possible<M::Value>>,
    under_way: BTreeMap<u64, M::Change>,
}

/// What was seen, and everything that would have been an explanation.
pub(crate) type Contradiction = String;

impl<M: Model> History<M> {
    pub(crate) fn new(value: M::Value) -> Self {
        Self {
            possible: BTreeSet::from([Possible {
                memory: value.clone(),
                disk: value,
                stages: BTreeMap::new(),
            }]),
            under_way: BTreeMap::new(),
        }
    }

    /// An operation was begun.
    pub(crate) fn begin(&mut self, id: u64, change: M::Change) {
        self.under_way.insert(id, change);
        self.close();
    }

    /// An operation was answered.
    pub(crate) fn answered(&mut self, id: u64, answer: Answer) -> Result<(), Contradiction> {
        let Some(change) = self.under_way.remove(&id) else {
            return Ok(());
        };
        let after = self.possible.iter().cloned().filter_map(|mut possible| {
            let stage = possible.stages.remove(&id);
            let fits = match answer {
                Answer::Done => stage == Some(Stage::Applied),
                Answer::Refused => match stage {
                    None | Some(Stage::Undone) => true,
                    Some(Stage::Applied) => M::undone(&possible.memory, &change),
                    Some(Stage::Written) => false,
                },
                Answer::Failed => stage != Some(Stage::Applied),
            };
            fits.then_some(possible)
        });
        let after = after.collect();
        self.narrow(after, || format!("{change:?} was answered {answer:?}"))
    }

    /// The value was seen.
    pub(crate) fn seen(
        &mut self,
        fits: impl Fn(&M::Value) -> bool,
        what: impl FnOnce() -> String,
    ) -> Result<(), Contradiction> {
        let fits = |possible: &&Possible<M::Value>| fits(&possible.memory);
        let after = self.possible.iter().filter(fits).cloned().collect();
        self.narrow(after, || format!("seen: {}", what()))
    }

    /// Keeps those states only, of which there must be one.
    fn narrow(
        &mut self,
        after: BTreeSet<Possible<M::Value>>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Contradiction> {
        if after.is_empty() {
            let (what, possible) = (what(), &self.possible);
            let under_way = &self.under_way;
            return Err(format!(
                "{what}; possible was {possible:?}, under way {under_way:?}"
            ));
        }
        self.possible = after;
        self.close();
        Ok(())
    }

    /// Everything in memory is gone, and every operation that was under way.
    pub(crate) fn killed(&mut self) {
        self.under_way.clear();
        self.possible = std::mem::take(&mut self.possible)
            .into_iter()
            .map(|possible| Possible {
                memory: possible.disk.clone(),
                disk: possible.disk,
                stages: BTreeMap::new(),
            })
            .collect();
        self.close();
    }

    /// All values that it may have now.
    pub(crate) fn values(&self) -> BTreeSet<M::Value> {
        let values = self.possible.iter();
        values.map(|possible| possible.memory.clone()).collect()
    }

    /// Adds all that may have happened by now.
    fn close(&mut self) {
        let mut fresh: Vec<_> = self.possible.iter().cloned().collect();
        while let Some(from) = fresh.pop() {
            for to in self.next(&from) {
                if self.possible.insert(to.clone()) {
                    fresh.push(to);
                }
            }
        }
    }

    fn next(&self, from: &Possible<M::Value>) -> Vec<Possible<M::Value>> {
        let mut all = Vec::new();
        for memory in M::by_itself(&from.memory) {
            all.push(Possible {
                memory,
                ..from.clone()
            });
        }
        if from.disk != from.memory && from.stages.values().all(|stage| *stage != Stage::Written) {
            // What the engine changed by itself is written down later.
            all.push(Possible {
                disk: from.memory.clone(),
                ..from.clone()
            });
        }
        for (id, change) in &self.under_way {
            let mut to = from.clone();
            match from.stages.get(id) {
                None => {
                    // One at a time is written down.
                    if from.stages.values().any(|stage| *stage == Stage::Written) {
                        continue;
                    }
                    if M::apply(&from.memory, change).is_none() {
                        continue;
                    }
                    to.stages.insert(*id, Stage::Written);
                    // The whole of it is written, or only what has changed.
                    for base in [&from.memory, &from.disk] {
                        if let Some(disk) = M::apply(base, change) {
                            all.push(Possible { disk, ..to.clone() });
                        }
                    }
                    continue;
                }
                Some(Stage::Written) => {
                    let Some(value) = M::apply(&from.memory, change) else {
                        continue;
                    };
                    to.memory = value;
                    to.stages.insert(*id, Stage::Applied);
                }
                Some(Stage::Applied) => {
                    let Some(value) = M::taken_back(&from.memory, change) else {
                        continue;
                    };
                    to.memory = value;
                    to.stages.insert(*id, Stage::Undone);
                }
                Some(Stage::Undone) => continue,
            }
            all.push(to);
        }
        all
    }
}
