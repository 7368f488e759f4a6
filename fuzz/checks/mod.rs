//! Properties that hold for any bytes. There is one module for each kind of input, with a function `check` that panics
//! if a property is violated.
//!
//! The reference implementations are deliberately simple, and share no code with the exporter.

pub mod accept;
pub mod cgroup;
pub mod docker_json;
pub mod exposition;
mod machine;
pub mod request_path;
pub mod shown;
pub mod stat;
pub mod status;
pub mod web_config;
