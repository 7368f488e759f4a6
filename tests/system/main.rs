//! Tests with real parts: a Docker engine, containerd with CRI, podman, Prometheus, a browser, namespaces and cgroups. They require root and
//! the packages that `make test` installs. If something is missing, a test fails; no test is skipped.
//!
//! Run one at a time, because they observe the whole machine. A test waits for the condition that it asserts and never
//! asserts a duration; `make bench` measures durations.

#[path = "../support/mod.rs"]
mod support;
#[path = "../testkit/mod.rs"]
mod testkit;

mod browser;
mod cgroup_namespaces;
mod churn;
mod clients;
mod commands;
mod docker;
mod docker_proxy;
mod event_counts;
mod fallbacks;
mod forests;
mod image;
mod incidents;
mod inside_containers;
mod kubernetes;
mod large_forests;
mod limits;
mod live_view;
mod memory;
mod names;
mod nested_cgroups;
mod podman;
mod prometheus;
mod rights;
mod slow_readers;
mod sources;
mod stack;
mod terminals;
mod time;
mod tls;
mod trees;
mod usage;
