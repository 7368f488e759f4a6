//! Who lends names to containers.

pub mod config;
pub mod docker;
pub mod docker_endpoint;
pub mod registry;
