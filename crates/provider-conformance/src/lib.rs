//! Checks any OpenFaaS provider, in any language, against numbered requirements.
//!
//! [`requirements`] is the registry that `SPEC.md` is written from. A [`Suite`] judges them on a
//! [`Target`] and gives a [`Report`]; [`Case`] says how a case is written.
//!
//! ```
//! use provider_conformance::{Level, requirement};
//!
//! let absent = requirement("OFP-FUN-014").expect("it is there");
//! assert_eq!(absent.level, Level::Must);
//! ```

mod case;
mod cases;
mod context;
mod declaration;
mod declared;
mod function;
mod image;
mod report;
mod requirement;
mod requirements;
mod specification;
mod suite;
mod target;
mod timeouts;
pub mod wire;
mod workload;

pub use case::{Case, Running};
pub use cases::all as cases;
pub use context::{Context, Created, Function, Retry, Stop, status};
pub use declaration::{Declaration, DeclarationError, Exemption, KnownDeviation};
pub use declared::{Declared, UnknownName};
pub use function::{FunctionSettings, SettingsError, TestFunction};
pub use image::{FunctionImage, ImageRegistry, ProgramError};
pub use report::{
    CaseReport, Judged, Paint, Report, ReportError, RequirementReport, SCHEMA, Status,
    TargetReport, Verdict,
};
pub use requirement::{Feature, Level, Profile, Requirement};
pub use requirements::{Area, areas, requirement, requirements};
pub use specification::specification;
pub use suite::{Deviation, RunError, Suite, SuiteBuilder, SuiteError, Swept, sweep};
pub use target::{Role, Target};
pub use timeouts::Timeouts;
pub use wire::AddressError;
pub use workload::Workload;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
