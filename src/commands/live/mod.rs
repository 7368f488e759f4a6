//! `tree --watch`: the live view.

pub mod screen;
mod view;
pub mod viewport;
mod watch;

pub use watch::watch;
