//! Function invocation for OpenFaaS providers: a streaming reverse proxy as a tower service.
