//! The function side: turns a program into an HTTP function, compatible with the OpenFaaS watchdogs.
