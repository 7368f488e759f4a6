//! Exports the process forest of every container as Prometheus metrics, trees and web pages.
//!
//! # Architecture overview
//!
//! The exporter has one thread for collections. Requests are answered from the latest snapshot: no request starts a
//! collection or waits for one. After the first collection, which waits up to 2 s for names, no collection waits for
//! Docker. Data flows from left to right:
//!
//! ```text
//!  /proc ────┐
//!  BPF ──────┼─► observe ──► resolve ──► model ──────► collect ──────┬─► export ──► serve (/metrics)
//!  cgroupfs ─┘   records     container   forest,       Snapshot,     │   bytes
//!                            of each     stats,        then names    └─► view ────► serve (pages, JSON)
//!                            process     counters          ▲             trees  └─► commands (tree, live view)
//!  Docker, CRI, kubelet ─► names ──────────────────────────┘
//! ```
//!
//! A [`Pipeline`](collect::pipeline::Pipeline) makes an immutable [`Snapshot`](model::snapshot::Snapshot), for the
//! exporter and for the command `tree`. The documentation of [`collect::pipeline`] lists the stages in their order.
//! Metrics, pages, JSON and trees are made from the snapshot, the names of containers, and the status of the last
//! collection.
//!
//! # Modules
//!
//! | module | content |
//! |---|---|
//! | [`observe`] | reads the kernel: `/proc`, the BPF programs and their counters, the pids controller; bytes to records. `procfs::system` decides what the mount and the namespaces hide |
//! | [`resolve`] | the container of each process. `resolver` decides, also after a process moved to another cgroup; `cgroup_path` turns a path into container id and runtime, `systemd_unit` into a service or scope; `resolver::zombie_membership` decides for zombies without a known container; `event_attribution` assigns the kernel's counts, also those of removed cgroups |
//! | [`model`] | pure data and algorithms: processes, pods, snapshot, counters, the estimate of starts. `forest` has parents and depths, kinds of root processes, statistics, and `merged_nodes`, which chooses the exported tree nodes; `node_share` divides their limit between containers. `busiest` chooses the commands, and the paths by CPU time, that have their own series |
//! | [`names`] | container names from Docker or Podman, from the CRI API (`cri`) and containerd, and from the kubelet's log directories (`kubernetes_logs`). `docker` lists containers and detects a daemon that hangs; `registry` keeps the last names of every source; `known_names` joins names to a snapshot, and delays a container that has none yet |
//! | [`collect`] | the loop and the pipeline. `source_selection` chooses `/proc` or BPF at start, `pipeline` falls back to `/proc` later |
//! | [`export`] | the metric catalog with names, labels and help; a snapshot to the exposition formats, plain and gzip |
//! | [`view`] | a snapshot to trees: selected, arranged in `rows`, which fold the siblings that `alike_siblings` finds, as text, JSON and HTML |
//! | [`serve`] | the HTTP server: routes, connection limit, TLS, passwords, the render thread, the cache of page bodies |
//! | [`cli`] | flags, the settings that they resolve to, logging |
//! | [`commands`] | one file or folder for each command: the exporter, `tree`, the live view, `roots`, `--check` (`checks` makes a verdict of each result), `--healthcheck` |
//!
//! # Imports go one way
//!
//! ```text
//! commands ─► cli ─► serve ─► export, view ─► model
//!     └──────────► collect ─► observe ─► resolve ─► model
//!                     └─────► names ──────────────► model
//! ```
//!
//! `observe` imports `resolve` because it implements the traits by which `resolve` reads files. Two narrow exceptions
//! exist: `cli` fills in the configuration types of `collect`, `names` and `export`, and `serve` reads the arguments of processes
//! by `observe::procfs::cmdline` if `--web.arguments` is set.
//!
//! `model`, `resolve`, `view` and the encoders of `export` are pure: they take bytes, records and times as arguments. The
//! test `imports` reads the imports in every source file and fails if one of them breaks this order.
//!
//! # Failures
//!
//! A process that cannot be read is skipped and counted by reason; the collection continues. BPF is used if the kernel,
//! the capabilities and the layout of cgroups allow it. If it fails, the exporter logs the reason and reads `/proc`
//! instead, unless `--collection.source=bpf` was set and BPF fails at start.

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
