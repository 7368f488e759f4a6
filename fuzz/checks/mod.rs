//! What must be true for any bytes: one module for each kind of them, each with a `check` that panics when it is not.
//!
//! The references are naive on purpose, and share nothing with what they are compared to.

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
