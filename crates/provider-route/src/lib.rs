//! Function table, replica choice and limits for OpenFaaS providers.
