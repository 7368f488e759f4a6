//! The exporter itself: collects and serves until a signal, or collects once and prints (`--once`).
//!
//! | file | content |
//! |---|---|
//! | `exporter` | creates all threads, connects the parts, and runs them |
//! | `sockets` | binds the addresses of the flags, or takes the sockets of systemd |
//! | `startup_log` | log lines at start about what limits the exporter |

mod exporter;
mod sockets;
mod startup_log;

pub use exporter::run;
