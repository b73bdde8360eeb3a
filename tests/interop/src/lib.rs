//! The real clients and peers against ours.
