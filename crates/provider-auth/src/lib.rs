//! Credentials for an OpenFaaS provider, and a tower layer that asks for them.
