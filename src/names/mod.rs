//! Container names and labels from the APIs of Docker, Podman and containerd, and names of Kubernetes pods.
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
//! | `kubernetes_logs` | reads names of pods from the names of log files |
//! | `kubernetes_thread` | reads log files again when a container of a pod has no name |
//! | `containerd` | the names of nerdctl's containers, from containerd's own API |
//! | `cri` | requests names of pods from the CRI API of a container runtime |
//! | `cri_api` | the messages of the CRI API |
//! | `grpc` | the client that `cri` and `containerd` use |
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
