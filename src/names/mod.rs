//! Who lends names to containers. Only names depend on it: no number does.
//!
//! * [`docker`]: keeps the registry up to date from the API of Docker or Podman.
//! * [`docker_endpoint`]: where that API is, and a transport that limits bytes and time.
//! * [`registry`]: the names that engines report now.
//! * [`known_names`]: joins names to the containers of a snapshot.
//! * [`config`]: settings.

pub mod config;
pub mod docker;
pub mod docker_endpoint;
pub mod known_names;
pub mod registry;
