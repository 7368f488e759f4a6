//! Tests that require neither root, Docker nor network: one binary, so that it is linked once.
//!
//! Most of them run the real exporter on fixtures made of files. A test waits for the condition that it asserts and
//! never asserts a duration; `make bench` measures durations.

mod alerts;
mod api;
mod cgroup_ids;
mod cli;
mod collectors;
mod cri_names;
mod dashboards;
mod docker_api;
mod docs;
mod faults;
mod fuzz_corpus;
mod golden;
mod imports;
mod kubernetes_names;
mod own_container;
mod pids_limit;
mod pods;
mod procfs_mounts;
mod properties;
mod security;
mod systemd_units;
mod tree_command;
mod trees;
mod usage;
mod user_names;
mod version;
mod web;
mod web_config;

#[path = "../support/mod.rs"]
mod support;
