//! The conformance kit can fail, and is fair.
#![expect(clippy::unwrap_used, reason = "these are tests")]

// Each MUST has a defect, and each defect a requirement.
mod registry;

// The provider without a defect is conformant.
mod faultless;

// Each defect is found by the requirement that it breaks, and by no other.
mod mutants;

// A provider is judged fairly behind a gateway.
mod gateway;

// What a run leaves behind is swept away.
mod sweep;

// Where no function starts, the kit says so and does not wait for each.
mod hopeless;
