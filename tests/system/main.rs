//! Tests on the real thing: a Docker engine, podman, Prometheus, namespaces and cgroups. They want root and
//! the packages that `make test` installs; what is missing is a failure, never a skip.
//!
//! Run one at a time: they look at the machine as a whole.

#[path = "../support/mod.rs"]
mod support;

mod churn;
mod engine;
mod events;
mod fallbacks;
mod forests;
mod groups;
mod image;
mod incidents;
mod inside;
mod live;
mod load;
mod memory;
mod names;
mod nesting;
mod pages;
mod podman;
mod pressure;
mod proxy;
mod readers;
mod restarts;
mod rights;
mod scraped;
mod secure;
mod sources;
mod spread;
mod stack;
mod starts;
mod time;
mod trees;
mod truth;
