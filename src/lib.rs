//! The process forest of every container, as Prometheus metrics, trees and pages.
//!
//! # Architecture overview
//!
//! Each collection runs on a thread of its own, from left to right. Requests are answered from memory: no request runs a
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
//! One [`Pipeline`](collect::pipeline::Pipeline) makes an immutable [`Snapshot`](model::snapshot::Snapshot), for the
//! exporter and for the command `tree` alike; its module lists the stages in their order. Metrics, pages, JSON and trees
//! are functions of the snapshot and of the names of containers.
//!
//! # Modules
//!
//! | module | content |
//! |---|---|
//! | [`observe`] | asks the kernel: `/proc`, BPF, the cgroup file systems; bytes to records |
//! | [`resolve`] | which container each process belongs to, zombies and moved processes included |
//! | [`model`] | pure data and algorithms: processes, forest, depth, stats, counters, snapshot |
//! | [`names`] | the names that Docker or Podman report, kept while they do not answer |
//! | [`collect`] | the loop and the pipeline; chooses the source |
//! | [`export`] | the metric catalog; a snapshot to the exposition formats |
//! | [`view`] | a snapshot to trees: selected, folded into rows, as text, JSON and HTML |
//! | [`serve`] | the HTTP server: routes, limits, TLS, users, the render thread and its cache |
//! | [`cli`] | flags as typed, the settings that they resolve to, logging |
//! | [`commands`] | one file or folder a command: the exporter, `tree`, the live view, `roots`, `--check`, `--healthcheck` |
//!
//! # Imports go one way
//!
//! ```text
//! commands ─► cli ─► serve ─► export, view ─► model
//!     └──────────► collect ─► observe ─► resolve ─► model
//!                     └─────► names ──────────────► model
//! ```
//!
//! `model`, `resolve`, `view` and the encoders of `export` are pure: they take bytes, records and times as arguments. The
//! test `imports` reads the paths of every source file and fails when an import breaks this order.
//!
//! A process that cannot be read costs that process only, counted by reason. BPF is used where the kernel, the
//! capabilities and the layout of cgroups allow it; any failure ends in `/proc`, with a log line that says why (see
//! [`collect::source_selection`]).

// Tests and benches are crates of their own, where this lint has no meaning.
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
