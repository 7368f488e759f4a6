//! `tree --watch`: the live view.
//!
//! | module | content |
//! |---|---|
//! | `watch` | the loop: collects, updates the view, handles key presses |
//! | `live_view` | what the screen shows, and what is kept between collections |
//! | [`viewport`] | which part of a long text is visible |
//! | [`screen`] | the terminal: setup, drawing, key presses, restoring |

mod live_view;
pub mod screen;
pub mod viewport;
mod watch;

pub use watch::watch;
