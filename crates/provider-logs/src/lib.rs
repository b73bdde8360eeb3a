//! The OpenFaaS log API: query parsing, an ndjson handler and a journald source.
