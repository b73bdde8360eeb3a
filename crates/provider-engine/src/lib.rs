//! One host's function orchestrator: durable desired state, reconcile, logs and secrets over a runtime.
