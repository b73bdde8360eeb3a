//! Checks any OpenFaaS provider, in any language, against numbered requirements.
//!
//! [`requirements`] is the registry that `SPEC.md` is written from. A [`Suite`] judges them on a
//! [`Target`], which runs a [`Workload`] for it, and gives a [`Report`] with a [`Verdict`].
//!
//! ```
//! use provider_conformance::{Level, Suite, requirement};
//!
//! // faas-cli deploys by it, so it is no matter of taste.
//! let absent = requirement("OFP-FUN-014").expect("it is there");
//! assert_eq!(absent.level, Level::Must);
//!
//! // A provider that keeps secrets, with one deviation that is being worked on.
//! let suite = Suite::builder()
//!     .declare("secrets")?
//!     .deviation("OFP-SEC-014", "issue 12", "2027-06-30")?
//!     .build();
//! # let _ = suite;
//! # Ok::<(), provider_conformance::SuiteError>(())
//! ```
//!
//! # Cases of your own
//!
//! A case is an async function over a [`Context`], listed with the requirements that it judges;
//! `SuiteBuilder::case` adds it to a suite:
//!
//! ```
//! use provider_conformance::{Case, Context, Stop, cases};
//!
//! const CASES: &[Case] = cases! { "information";
//!     info_is_an_object: ["OFP-INF-001"],
//! };
//!
//! async fn info_is_an_object(cx: &Context) -> Result<(), Stop> {
//!     let answer = cx.get("/system/info").await?;
//!     let is_object = answer.json().is_ok_and(|value| value.is_object());
//!     cx.check("OFP-INF-001", answer.status() == 200 && is_object, || {
//!         format!("GET /system/info was answered with {}", answer.shown())
//!     });
//!     Ok(())
//! }
//! # assert_eq!(CASES[0].name, "information/info_is_an_object");
//! ```

mod case;
mod cases;
mod context;
mod declaration;
mod declared;
mod function;
mod gateway;
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
