//! From a snapshot to what a person reads.

pub mod diff;
pub mod html;
pub mod json;
pub mod rows;
pub mod select;
pub mod text;
pub mod tree;
