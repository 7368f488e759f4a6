//! Pure data and algorithms. Nothing here reads files, sockets or clocks; times and bytes are passed as arguments.

pub mod busiest;
pub mod cgroup_layout;
pub mod clock;
pub mod collection;
pub mod comm_interner;
pub mod command_counts;
pub mod container;
pub mod container_metadata;
pub mod container_table;
pub mod event_counts;
pub mod forest;
pub mod name_budget;
pub mod path_usage;
pub mod pids;
pub mod pod;
pub mod process;
pub mod process_table;
pub mod rates;
pub mod snapshot;
pub mod start_estimate;
pub mod text;
pub mod usage;
pub mod user_names;
