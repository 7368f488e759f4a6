//! The process forest of every container, as Prometheus metrics.
//!
//! How data flows, each collection from left to right, on a thread of its own:
//!
//! ```text
//!  /proc ─┬─► source ───► membership ───► forest ───► accounting ──► collector ──► Published ──► web
//!         │  records     attribution     roots        counters      pipeline      (Arc, each     /metrics
//!         │              cgroup ids      shape        starts        publisher      format once)  pages, JSON
//!         │                              nodes        name budget       ▲
//!  BPF ───┴────────────────────────────────────────► events ────────────┤
//!  cgroupfs ───────────────────────────────────────► pids ──────────────┤
//!  Docker API ─────────────────────────────────────► metadata (names) ──┘
//! ```
//!
//! Trees for people are made from one [`moment`]: the exporter publishes one with each collection, without a
//! copy, and `tree` takes one by itself:
//!
//! ```text
//!  Published ─┐
//!  tree::look ┴─► moment ───► tree ───► layout ───► text (terminal, live), pages
//!                 cards       select     rows  └──► JSON
//! ```
//!
//! | module | what | kind |
//! |---|---|---|
//! | [`cli`], [`config`], [`logging`], [`app`] | flags as typed, flags as resolved, and what they start | edge |
//! | [`check`] | what can be seen here, and why not more | edge, its text pure |
//! | [`healthcheck`] | asks an exporter whether it lives | edge |
//! | [`model`] | processes, containers, snapshots | pure |
//! | [`text`] | text from strangers made safe to show | pure |
//! | [`source`] | the walk over a procfs, or the kernel's own list; which of them; bytes to records | edge, parsing pure |
//! | [`bpf`] | the programs in the kernel: loaded, attached, asked | edge |
//! | [`attribution`] | cgroup path to container | pure |
//! | [`membership`] | which container each process is in, remembered over collections | pure |
//! | [`forest`] | parents, roots, depth, zombies, merged nodes | pure |
//! | [`cgroups`] | which container each cgroup id is in | pure |
//! | [`events`] | the kernel's counts of forks, execs and exits, credited to containers | edge, crediting pure |
//! | [`starts`] | processes started, at least, by the growth of pids | pure |
//! | [`counters`] | counters that only grow, the budget of new names | pure |
//! | [`pids`] | the files of the pids controller and the freezer | edge |
//! | [`metadata`] | names from the Docker API, kept while it is away | edge |
//! | [`moment`] | all processes of one moment, and what is known of each container | pure |
//! | [`tree`] | a forest as text, live, as JSON; the commands for that | pure, with edges |
//! | [`metrics`] | one catalog of all families; numbers to families to bytes | pure |
//! | [`collector`] | the loop that calls all of the above and swaps what is published | edge |
//! | [`web`] | serves what is published, and its pages, to those who may see it | edge, pages pure |
//!
//! Edges call pure code, never the other way: what is pure takes bytes, records and a time as arguments. A
//! scrape never waits for a walk, a walk never waits for Docker, and one process that cannot be read costs
//! that process only.
//!
//! BPF makes nothing worse: it is used where the kernel, our rights and the layout of cgroups allow it, and
//! whatever fails ends in `/proc`, with a line that says why. See [`source::choice`].

#![deny(unsafe_code)]

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
