//! `stack.yaml` as `faas-cli` reads it, for a provider.
//!
//! [`Stack::load`] reads one or several files: variables are replaced, environment files, templates
//! and secrets are looked up, what belongs to the build is passed over. What is wrong is told with
//! line and column, all of it at once. [`Applier`] brings a provider to what was read, over the
//! traits of `provider-types`. With the feature `watch`, `Follower` keeps it to the files while
//! they, or the programs in them, change. [`to_yaml`] writes functions as such a file.
//!
//! ```
//! use std::path::Path;
//!
//! use provider_stack::{Stack, StackOptions};
//!
//! let text = "
//! version: 1.0
//! provider:
//!   name: openfaas
//! functions:
//!   hello:
//!     image: ghcr.io/example/hello
//!     environment:
//!       GREETING: ${GREETING:-Salve}
//! ";
//! let options = StackOptions::default();
//! let stack = Stack::parse(Path::new("stack.yaml"), text, &options)?;
//! let hello = &stack.functions[0].spec;
//! assert_eq!(hello.image, "ghcr.io/example/hello:latest");
//! assert_eq!(hello.env_vars["GREETING"], "Salve");
//!
//! let wrong = text.replace("openfaas", "faas");
//! let error = Stack::parse(Path::new("stack.yaml"), &wrong, &options).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "stack.yaml:4:9: provider \"faas\" is not known: write openfaas",
//! );
//! # Ok::<(), provider_stack::StackError>(())
//! ```

mod apply;
#[cfg(feature = "watch")]
mod follow;
mod glob;
#[cfg(feature = "watch")]
mod inputs;
mod options;
mod places;
mod problem;
mod schema;
mod stack;
mod substitute;
mod text;
#[cfg(feature = "watch")]
mod watches;
mod write;
mod yaml;

pub use apply::{Applier, Change, Step};
#[cfg(feature = "watch")]
pub use follow::{Follower, News};
pub use options::{Programs, StackOptions};
pub use problem::{Place, Problem, StackError};
pub use stack::{STACK_FILE_ANNOTATION, Stack, StackFunction, StackSecret};
pub use write::{SameName, to_yaml};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
