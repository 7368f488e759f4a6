//! Snapshots to metrics: the exposition formats.
//!
//! | module | content |
//! |---|---|
//! | [`catalog`] | every metric family: name, type, labels, stability, HELP |
//! | [`families`] | the numbers of a collection to metric families |
//! | [`openmetrics`] | encoder of the OpenMetrics text format |
//! | [`rendered`] | a snapshot with its encoded bytes, each format encoded once |
//! | [`self_metrics`] | the `process_*` metrics of the exporter itself |

pub mod catalog;
pub mod families;
pub mod openmetrics;
pub mod rendered;
pub mod self_metrics;
