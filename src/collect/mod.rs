//! The collection loop and its pipeline.

pub mod config;
pub mod double_buffer;
pub mod foreign_processes;
pub mod kernel_events;
pub mod pipeline;
pub mod prune_exited;
pub mod publisher;
pub mod result;
pub mod schedule;
pub mod source_selection;
