//! `--check`: what the exporter can see on this machine, why not more, and how to fix it.

mod checks;
pub mod report;

pub use checks::run;
