//! Tests of the whole, through its public interfaces.
