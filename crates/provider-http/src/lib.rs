//! The OpenFaaS provider API as one HTTP server over your back-end.
