//! What a provider says that it keeps to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::requirement::{Feature, Profile, Requirement};
use crate::requirements::areas;

/// The profiles and features of a run. `core` is always among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Declared {
    /// The profiles.
    pub profiles: BTreeSet<Profile>,
    /// The features besides.
    pub features: BTreeSet<Feature>,
}

/// A name that is neither a profile nor a feature.
#[derive(Debug, Error)]
#[error("{0:?} is neither a profile nor a feature; there are: {names}", names = Declared::names().join(", "))]
pub struct UnknownName(String);

impl Default for Declared {
    fn default() -> Self {
        Self {
            profiles: BTreeSet::from([Profile::Core]),
            features: BTreeSet::new(),
        }
    }
}

impl Declared {
    /// Everything that there is.
    #[must_use]
    pub fn all() -> Self {
        Self {
            profiles: Profile::ALL.iter().copied().collect(),
            features: Feature::ALL.iter().copied().collect(),
        }
    }

    /// Adds a profile or a feature by its name.
    ///
    /// # Errors
    /// When there is none of that name; the message has all names.
    pub fn add(&mut self, name: &str) -> Result<(), UnknownName> {
        if let Some(profile) = Profile::ALL.iter().find(|one| one.name() == name) {
            self.profiles.insert(*profile);
        } else if let Some(feature) = Feature::ALL.iter().find(|one| one.name() == name) {
            self.features.insert(*feature);
        } else {
            return Err(UnknownName(name.to_owned()));
        }
        Ok(())
    }

    /// The names of all profiles and features.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let profiles = Profile::ALL.iter().map(|one| one.name());
        profiles
            .chain(Feature::ALL.iter().map(|one| one.name()))
            .collect()
    }

    /// The names of what is declared.
    #[must_use]
    pub fn names_declared(&self) -> Vec<&'static str> {
        let profiles = self.profiles.iter().map(|one| one.name());
        profiles
            .chain(self.features.iter().map(|one| one.name()))
            .collect()
    }

    /// What of a requirement's needs is not declared: it applies where nothing is missing.
    #[must_use]
    pub fn lacks(&self, requirement: &Requirement) -> Option<&'static str> {
        let area = areas()
            .iter()
            .find(|area| area.code == requirement.area())
            .and_then(|area| area.profile);
        let profiles = [Some(requirement.profile), area];
        let missing = profiles
            .into_iter()
            .flatten()
            .find(|profile| !self.profiles.contains(profile));
        missing.map(Profile::name).or_else(|| {
            let feature = requirement.feature?;
            (!self.features.contains(&feature)).then(|| feature.name())
        })
    }
}
