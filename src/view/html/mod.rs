//! Web pages.
//!
//! | module | content |
//! |---|---|
//! | [`page`] | what all pages have in common: frame, escaping, links, the "not found" page |
//! | [`container_list`] | the table of all containers |
//! | [`container_page`] | one container with its numbers and its forest |

pub mod container_list;
pub mod container_page;
pub mod page;
