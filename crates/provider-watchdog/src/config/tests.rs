//! Tests of reading variables.
