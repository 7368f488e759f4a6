//! The collection loop and its pipeline: from the sources to an immutable snapshot.
//!
//! | module | content |
//! |---|---|
//! | [`pipeline`] | one collection, with the order of its stages |
//! | [`collector`] | the pipeline with the names of containers |
//! | [`schedule`] | when collections run, and when their results are published |
//! | [`source_selection`] | BPF or `/proc`, and why |
//! | [`kernel_events`] | the kernel's counts of forks, execs and exits |
//! | [`selection`] | reads only what the trees of some containers need |
//! | `prune_exited`, `foreign_processes`, `double_buffer` | single steps of the pipeline |
//! | [`config`] | settings |

pub mod collector;
pub mod config;
mod double_buffer;
mod foreign_processes;
pub mod kernel_events;
pub mod pipeline;
mod prune_exited;
pub mod schedule;
pub mod selection;
pub mod source_selection;
