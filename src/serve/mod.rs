//! The HTTP server.

pub mod config;
pub mod connection_limit;
pub mod listen;
pub mod negotiation;
pub mod nofile_limit;
pub mod response_cache;
pub mod routes;
pub mod security;
pub mod server;
pub mod tls_error_log;
