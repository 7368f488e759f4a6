//! Real parts that the tests on a whole machine share: a Docker engine, containerd, cgroups, a Prometheus server, and an oracle
//! that finds the expected numbers without the exporter.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod binaries;
pub mod cgroups;
pub mod child;
pub mod containerd;
pub mod cri_api;
pub mod engine;
pub mod keep_alive;
pub mod oracle;
pub mod prometheus;
pub mod scratch;
pub mod synthetic;
