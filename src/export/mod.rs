//! From a snapshot to the exposition formats.
//!
//! | module | content |
//! |---|---|
//! | [`catalog`] | every metric family, the only list |
//! | [`container_families`] | the families of containers, written straight from the snapshot |
//! | [`exporter_families`] | the families of the host and of the exporter |
//! | [`openmetrics`], [`text_format`] | the two formats |
//! | [`rendered`] | the encoded bytes, and the latest of them |
//! | [`renderer`] | a collection to its rendered snapshot |
//! | [`self_metrics`] | CPU, memory and descriptors of the exporter |

pub mod catalog;
pub mod container_families;
pub mod exporter_families;
pub mod openmetrics;
pub mod rendered;
pub mod renderer;
pub mod self_metrics;
pub mod text_format;
