//! Trees as pages.

pub mod container_list;
pub mod container_page;
pub mod page;
