//! The process forest of every container.
//!
//! | module | content |
//! |---|---|
//! | [`parents_and_depths`] | the parent of each process within its container, and its depth |
//! | [`root_kinds`] | whether a root is the init, entered by exec, or is adopted |
//! | [`stats`] | the numbers of one container's forest |
//! | [`merged_nodes`] | merges processes with the same path of commands |
//! | [`node_share`] | limits the nodes of all containers together |

pub mod merged_nodes;
pub mod node_share;
pub mod parents_and_depths;
pub mod root_kinds;
pub mod stats;
