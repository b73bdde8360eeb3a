//! The programs are in `bin`. This holds the documents whose blocks are run as tests.

#[cfg(doctest)]
#[doc = include_str!("../../docs/write-a-provider.md")]
struct WriteAProvider;

#[cfg(doctest)]
#[doc = include_str!("../../docs/migrate/from-go-sdk.md")]
struct FromGoSdk;
