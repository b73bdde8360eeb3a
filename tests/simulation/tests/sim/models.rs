//! What functions, secrets and namespaces are to an observer.

use crate::history::Model;

/// What is known of one version of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) tag: u32,
    /// It can be expected not to get ready.
    pub(crate) may_fail: bool,
    /// Its instances get ready and end by themselves.
    pub(crate) crashes: bool,
    /// How many replicas it has at least, where that is said.
    pub(crate) min: Option<u64>,
    /// How many replicas it may have at most, where it follows its calls.
    pub(crate) most: Option<u64>,
    /// There can be one instance at a time.
    pub(crate) single: bool,
    /// It goes to sleep when it is idle.
    pub(crate) sleeps: bool,
}

impl Version {
    fn initial(&self) -> u64 {
        self.min.unwrap_or(1)
    }
}

/// A function: which version, how many replicas, and what an update that is under way replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) version: Version,
    pub(crate) replicas: u64,
    previous: Option<(Version, u64)>,
}

impl Wanted {
    /// Whether an instance of it that is ready stays until another one is.
    pub(crate) fn is_always_there(&self) -> bool {
        let before = self.previous.map(|(version, _)| version);
        let mut versions = before.into_iter().chain([self.version]);
        self.replicas > 0 && versions.all(|it| !it.single && !it.crashes)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Deploy(Version),
    Update(Version),
    Scale(u64),
    Delete,
}

pub(crate) struct FunctionModel;

impl Model for FunctionModel {
    type Value = Option<Wanted>;
    type Change = Change;

    fn apply(value: &Option<Wanted>, change: &Change) -> Option<Option<Wanted>> {
        let after = match (value, *change) {
            (None, Change::Deploy(version)) => Some(Wanted {
                version,
                replicas: version.initial(),
                previous: None,
            }),
            (Some(now), Change::Update(version)) => Some(Wanted {
                version,
                replicas: version.min.unwrap_or(match version.most {
                    Some(most) => now.replicas.min(most),
                    None => now.replicas,
                }),
                previous: now.previous.or(Some((now.version, now.replicas))),
            }),
            (Some(now), Change::Scale(replicas)) => Some(scaled(now, replicas)),
            (Some(_), Change::Delete) => None,
            _ => return None,
        };
        Some(after)
    }

    fn taken_back(value: &Option<Wanted>, change: &Change) -> Option<Option<Wanted>> {
        match (value, change) {
            (Some(now), Change::Deploy(version)) if now.version == *version && version.may_fail => {
                Some(None)
            }
            _ => None,
        }
    }

    fn by_itself(value: &Option<Wanted>) -> Vec<Option<Wanted>> {
        let Some(now) = value else { return Vec::new() };
        let mut all = Vec::new();
        if let Some((version, replicas)) = now.previous {
            all.push(Wanted {
                previous: None,
                ..*now
            });
            if now.version.may_fail {
                all.push(Wanted {
                    version,
                    replicas,
                    previous: None,
                });
            }
        } else if now.replicas > 0 {
            let follows = now.version.most.map(|most| now.version.initial()..=most);
            let sleeps = now.version.sleeps.then_some(0);
            let counts = follows.into_iter().flatten().chain(sleeps);
            all.extend(counts.map(|replicas| Wanted { replicas, ..*now }));
        }
        if now.version.single && now.replicas > 1 {
            all.push(Wanted {
                replicas: 1,
                ..*now
            });
        }
        if now.replicas == 0 {
            // A call wakes it.
            all.push(scaled(now, now.version.initial()));
        }
        all.into_iter().map(Some).collect()
    }

    fn undone(value: &Option<Wanted>, change: &Change) -> bool {
        match change {
            Change::Update(version) => value.is_none_or(|now| now.version != *version),
            _ => false,
        }
    }
}

fn scaled(now: &Wanted, replicas: u64) -> Wanted {
    Wanted {
        replicas,
        previous: now.previous.map(|(version, _)| (version, replicas)),
        ..*now
    }
}

/// A secret's value, or a namespace's label: a number where it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Put {
    Create(u32),
    Replace(u32),
    Remove,
}

pub(crate) struct NumberModel;

impl Model for NumberModel {
    type Value = Option<u32>;
    type Change = Put;

    fn apply(value: &Option<u32>, change: &Put) -> Option<Option<u32>> {
        match (value, *change) {
            (None, Put::Create(number)) | (Some(_), Put::Replace(number)) => Some(Some(number)),
            (Some(_), Put::Remove) => Some(None),
            _ => None,
        }
    }

    fn by_itself(_value: &Option<u32>) -> Vec<Option<u32>> {
        Vec::new()
    }
}
