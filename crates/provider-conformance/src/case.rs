//! What a case is, and how to write one.
//!
//! The documentation of the crate has an example.
//!
//! In this crate a file `cases/<area>.rs` has a `CASES` list, which `cases.rs` joins to the others.
//! What to keep to:
//!
//! * **Judge by id.** [`Context::check`] puts what it saw on exactly one requirement and goes on;
//!   [`Context::require`] stops the case where the rest makes no sense without it. Every listed
//!   requirement that is declared must be judged by the end, or be said to be
//!   [`Context::not_applicable`]; anything else is an error of the kit. A requirement that is not
//!   declared ([`Context::applies`]) may be left out, and a check of it becomes a note.
//! * **Explain for strangers.** The text of a check says what was seen, with
//!   [`Answer::shown`](crate::wire::Answer::shown) where there is one, not what was expected: the
//!   requirement says that.
//! * **Set up leniently, judge strictly.** [`Context::function`] and its sisters take any success, so that
//!   a fault lands on the requirement that names it. Where setting up fails, the case's
//!   requirements are said to be unreached.
//! * **The first answer counts.** [`Context::poll`] is for what may take its time; it is reported
//!   where more than one try was needed. Nothing else tries again.
//! * **No fixed sleeps**, except [`Timeouts::quiet`](crate::Timeouts::quiet) to see that nothing
//!   comes.
//! * **Alone in the world?** Cases run at the same time and each has its own functions. One that
//!   needs the provider for itself (counters, an empty list) says `alone` before its name.
//! * **Nothing stays.** What the `Context` creates it removes, in reverse order. What a case
//!   creates by a request of its own it names before to [`Context::will_create`].

use std::fmt;
use std::pin::Pin;

use crate::context::{Context, Stop};

/// What a case gives back.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send + 'a>>;

/// One case.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Case {
    /// `area/what_it_shows`.
    pub name: &'static str,
    /// The ids of the requirements that it judges.
    pub requirements: &'static [&'static str],
    /// Whether no other case may run at the same time.
    pub alone: bool,
    /// What it does.
    pub run: for<'a> fn(&'a Context) -> Running<'a>,
}

impl Case {
    /// A case; [`cases!`](crate::cases!) is shorter.
    #[must_use]
    pub const fn new(
        name: &'static str,
        requirements: &'static [&'static str],
        run: for<'a> fn(&'a Context) -> Running<'a>,
    ) -> Self {
        Self {
            name,
            requirements,
            alone: false,
            run,
        }
    }

    /// The same case, run while no other one runs.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({} {:?})", self.name, self.requirements)
    }
}

/// A list of cases: an area, then `function: [ids],` lines, with `alone` before a function that
/// needs the provider for itself.
#[macro_export]
macro_rules! cases {
    (@one $area:literal $function:ident $ids:tt) => {
        $crate::Case::new(
            concat!($area, "/", stringify!($function)),
            &$ids,
            |cx| Box::pin($function(cx)),
        )
    };
    (@list $area:literal [$($done:expr,)*]) => { &[$($done,)*] };
    (@list $area:literal [$($done:expr,)*] alone $function:ident: $ids:tt, $($rest:tt)*) => {
        $crate::cases!(@list $area [$($done,)* $crate::cases!(@one $area $function $ids).alone(),] $($rest)*)
    };
    (@list $area:literal [$($done:expr,)*] $function:ident: $ids:tt, $($rest:tt)*) => {
        $crate::cases!(@list $area [$($done,)* $crate::cases!(@one $area $function $ids),] $($rest)*)
    };
    ($area:literal; $($rest:tt)*) => { $crate::cases!(@list $area [] $($rest)*) };
}
