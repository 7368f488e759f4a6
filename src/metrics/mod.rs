//! From numbers to exposition: [`catalog`] says what there is, [`families`] fills it, [`openmetrics`] and the
//! prometheus crate encode it, [`published`] keeps the bytes. [`own_process`] measures the exporter itself.

pub mod catalog;
pub mod families;
pub mod openmetrics;
pub mod own_process;
pub mod published;
