//! Container names and labels from the Docker API (or that of Podman), and names of Kubernetes pods.
//!
//! | file | content |
//! |---|---|
//! | `config` | which sources and labels to use |
//! | `default_sockets` | the sockets of engines and runtimes that exist |
//! | `endpoint` | the address of an API, and a transport with limits |
//! | `sources` | starts all sources |
//! | `once` | asks all sources once, for a command |
//! | `docker` | requests to a container engine: keeps the registry up to date, or lists once |
//! | `docker_list` | decodes its list of containers |
//! | `docker_error` | why a request failed, and the fix |
//! | `kubernetes` | the names of pods and their containers |
//! | `kubernetes_logs` | reads these from the names of log files |
//! | `kubernetes_thread` | reads them again when a container has no name |
//! | `containerd` | the names of nerdctl's containers, from containerd's own API |
//! | `grpc` | a client of both APIs |
//! | `cri` | requests them from the CRI API of a container runtime |
//! | `cri_api` | the messages of that API |
//! | `registry` | the names that all sources report now |
//! | `known_names` | joins names to the containers of a snapshot |

pub mod config;
mod containerd;
pub(crate) mod cri;
mod cri_api;
mod default_sockets;
pub mod docker;
pub(crate) mod docker_error;
pub mod docker_list;
pub mod endpoint;
mod grpc;
pub mod known_names;
pub mod kubernetes;
pub mod kubernetes_logs;
pub(crate) mod kubernetes_thread;
pub(crate) mod once;
pub mod registry;
pub(crate) mod sources;
