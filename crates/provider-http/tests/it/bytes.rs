//! Bodies and headers: limits, slow clients, half-closed connections.
