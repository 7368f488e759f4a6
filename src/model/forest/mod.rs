//! The process forest of every container.

pub mod max_min_cap;
pub mod merged_nodes;
pub mod parents_and_depths;
pub mod root_kinds;
pub mod stats;
