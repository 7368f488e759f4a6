//! Encodes a snapshot in the exposition formats.
//!
//! | module | content |
//! |---|---|
//! | [`catalog`] | the definition of every metric family |
//! | [`collectors`] | the groups of families that a flag or a scrape selects |
//! | [`container_families`] | the families of containers, written directly from the snapshot |
//! | [`pod_families`] | the families of pods, written in the same way |
//! | `sample_lines` | sample lines of both |
//! | [`exporter_families`] | the families of the host and of the exporter |
//! | [`openmetrics`], [`text_format`] | the two formats |
//! | [`rendered`] | the encoded bytes of a snapshot, and the latest rendered snapshot |
//! | [`renderer`] | makes a rendered snapshot from a collection |
//! | [`self_metrics`] | CPU, memory and descriptors of the exporter |

pub mod catalog;
pub mod collectors;
pub mod container_families;
pub mod exporter_families;
pub mod openmetrics;
pub mod pod_families;
pub mod rendered;
pub mod renderer;
mod sample_lines;
pub mod self_metrics;
pub mod text_format;
