//! The HTTP server.
//!
//! | file | content |
//! |---|---|
//! | `server` | accepts connections until shutdown |
//! | `connection` | one connection: TLS, HTTP, timeouts |
//! | `connection_limit` | the maximum of connections; evicts the longest idle one |
//! | `listen` | binds addresses, accepts on all of them |
//! | `nofile_limit` | raises `RLIMIT_NOFILE` for the connections |
//! | `routes` | the table of paths |
//! | `negotiation` | `Accept` and `Accept-Encoding` |
//! | `pages` | pages and JSON documents |
//! | `render_thread` | the thread that renders them |
//! | `response_cache` | rendered bodies, limited in bytes |
//! | `responses` | headers of each kind of response |
//! | `security/` | `--web.config.file` |
//! | `tls_error_log` | logs clients that TLS rejects, at a limited rate |
//! | `config` | the settings of the server |

pub mod config;
mod connection;
mod connection_limit;
mod listen;
pub mod negotiation;
mod nofile_limit;
mod pages;
mod render_thread;
mod response_cache;
mod responses;
mod routes;
pub mod security;
mod server;
mod tls_error_log;

pub(crate) use listen::bind;
pub(crate) use nofile_limit::raise_nofile_limit;
pub(crate) use server::run;

pub use pages::Pages;
pub use render_thread::RenderThread;
pub use routes::respond;
pub use server::Server;
