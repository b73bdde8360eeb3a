//! The simulation is in `tests/sim`; how to run and to replay it is in CONTRIBUTING.md.
