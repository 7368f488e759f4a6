//! The process forest of every container.
//!
//! | module | content |
//! |---|---|
//! | [`parents_and_depths`] | who is whose parent within one container, and how deep each process is |
//! | [`root_kinds`] | whether a root is the init, entered by exec, or was adopted |
//! | [`stats`] | one container's forest in numbers |
//! | [`merged_nodes`] | processes merged by the path of their commands |
//! | [`max_min_cap`] | how the nodes of all containers together stay within their limit |

pub mod max_min_cap;
pub mod merged_nodes;
pub mod parents_and_depths;
pub mod root_kinds;
pub mod stats;
