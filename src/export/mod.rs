//! From a snapshot to the exposition formats.

pub mod catalog;
pub mod families;
pub mod openmetrics;
pub mod rendered;
pub mod self_metrics;
