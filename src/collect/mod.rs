//! The collection loop and the pipeline that makes an immutable snapshot from the sources.
//!
//! | module | content |
//! |---|---|
//! | [`pipeline`] | one collection and its stages in order |
//! | [`collector`] | the pipeline with container names |
//! | [`schedule`] | when collections run and when results are published |
//! | [`source_selection`] | chooses BPF or `/proc`, with the reason |
//! | [`kernel_events`] | forks, execs and exits, counted by the kernel |
//! | [`selection`] | limits a collection to the processes that the requested trees need |
//! | `prune_exited` | drops processes that exited during the walk |
//! | `foreign_processes` | counts processes in a container's pid namespace but not in its cgroup |
//! | `double_buffer` | passes process tables to readers without copying |
//! | [`config`] | settings |

pub mod collector;
pub mod config;
mod double_buffer;
mod foreign_processes;
pub mod kernel_events;
pub mod oom_victim_log;
pub mod pipeline;
mod prune_exited;
pub mod schedule;
pub mod selection;
pub mod source_selection;
