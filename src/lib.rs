//! Exports the process forest of every container as Prometheus metrics, trees and web pages.
//!
//! # Architecture overview
//!
//! Collections run on their own thread, from left to right. Requests are answered from memory: no request starts a
//! collection or waits for one, and no collection waits for Docker.
//!
//! ```text
//!  /proc ────┐
//!  BPF ──────┼─► observe ──► resolve ──► model ─────────► collect ──► export ──► serve
//!  cgroupfs ─┘   records     container   forest, stats    Snapshot    bytes      /metrics
//!                            of each     counters            │
//!                            process                         └──────► view ────► serve (pages, JSON)
//!  Docker ─────► names ──────────────────────────────────────┘        trees ───► commands (tree, live view)
//! ```
//!
//! One [`Pipeline`](collect::pipeline::Pipeline) makes an immutable [`Snapshot`](model::snapshot::Snapshot), both for
//! the exporter and for the command `tree`. Its module lists the stages in order. Metrics, pages, JSON and trees are
//! functions of the snapshot and of the names of containers.
//!
//! # Modules
//!
//! | module | content |
//! |---|---|
//! | [`observe`] | reads `/proc`, BPF and the cgroup file systems; converts bytes to records |
//! | [`resolve`] | finds the container of each process, including zombies and moved processes |
//! | [`model`] | pure data and algorithms: processes, forest, depth, stats, counters, snapshot |
//! | [`names`] | container names from Docker or Podman, kept while they do not answer |
//! | [`collect`] | the collection loop and the pipeline; chooses the source |
//! | [`export`] | the metric catalog; encodes a snapshot in the exposition formats |
//! | [`view`] | trees of a snapshot: selects containers, folds rows, writes text, JSON and HTML |
//! | [`serve`] | the HTTP server: routes, limits, TLS, users, the render thread and its cache |
//! | [`cli`] | flags as typed, the settings that they resolve to, logging |
//! | [`commands`] | one module per command: the exporter, `tree`, the live view, `roots`, `--check`, `--healthcheck` |
//!
//! # Imports go one way
//!
//! ```text
//! commands ─► cli ─► serve ─► export, view ─► model
//!     └──────────► collect ─► observe ─► resolve ─► model
//!                     └─────► names ──────────────► model
//! ```
//!
//! `model`, `resolve`, `view` and the encoders of `export` are pure: they take bytes, records and times as arguments.
//! The test `imports` reads the paths in every source file and fails if an import violates this order.
//!
//! A process that cannot be read is skipped and counted by reason. BPF is used if the kernel, the capabilities and the
//! cgroup layout allow it. After any failure of BPF, `/proc` is used, and the reason is logged (see
//! [`collect::source_selection`]).

// Tests and benches are separate crates, to which this lint does not apply.
#![warn(unreachable_pub)]

pub mod cli;
pub mod collect;
pub mod commands;
pub mod export;
pub mod model;
pub mod names;
pub mod observe;
pub mod resolve;
pub mod serve;
pub mod view;

/// The commit that this was built from; `unknown` outside a repository.
pub const REVISION: &str = env!("PSTREE_REVISION");
/// The compiler that built this.
pub const RUST_VERSION: &str = env!("PSTREE_RUST_VERSION");
