//! Pure data and algorithms: no I/O, no clock.

pub mod cgroup_layout;
pub mod clock;
pub mod collection;
pub mod container;
pub mod container_metadata;
pub mod counters;
pub mod event_counts;
pub mod forest;
pub mod limits;
pub mod process;
pub mod process_table;
pub mod rates;
pub mod snapshot;
pub mod start_estimate;
pub mod text;
pub mod user_names;
pub mod walk;
