//! Container names and labels from the Docker API (or that of Podman), and names of Kubernetes pods.
//!
//! | file | content |
//! |---|---|
//! | `config` | which endpoint and labels to use |
//! | `docker` | requests: keeps the registry up to date, or lists once for a command |
//! | `docker_endpoint` | the address of the API, and a transport with limits |
//! | `docker_error` | why a request failed, and the fix |
//! | `registry` | the names that engines report now |
//! | `kubernetes` | the names of pods and their containers |
//! | `kubernetes_logs` | reads these from the names of log files |
//! | `kubernetes_thread` | reads them again when a container has no name |
//! | `known_names` | joins names to the containers of a snapshot |

pub mod config;
pub mod docker;
pub mod docker_endpoint;
pub(crate) mod docker_error;
pub mod known_names;
pub mod kubernetes;
pub mod kubernetes_logs;
pub(crate) mod kubernetes_thread;
pub mod registry;
