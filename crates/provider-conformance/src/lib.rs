//! Checks any OpenFaaS provider, in any language, against numbered requirements.
//!
//! [`requirements`] is the registry that `SPEC.md` is written from.
//!
//! ```
//! use provider_conformance::{Level, requirement};
//!
//! let absent = requirement("OFP-FUN-014").expect("it is there");
//! assert_eq!(absent.level, Level::Must);
//! ```

mod requirement;
mod requirements;

pub use requirement::{Feature, Level, Profile, Requirement};
pub use requirements::{Area, areas, requirement, requirements};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
