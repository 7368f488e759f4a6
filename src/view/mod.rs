//! Views of a snapshot for people and programs: text, HTML and JSON. All of it is pure.
//!
//! ```text
//!  snapshot ──► select ──► Tree ──► rows ──► text: terminal, live view
//!                           │         └────► html: pages
//!                           └──────────────► json
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`select`] | finds containers by name, id, pid or Compose service |
//! | [`tree`] | the processes of one container or of the host, as a tree |
//! | [`diff`] | marks processes that were added or removed since the previous tree |
//! | [`rows`] | a tree as rows: sorted, folded and filtered |
//! | `alike_siblings` | finds identical siblings, which share a row |
//! | `pids_text` | tasks and the pids limit of a container, as text |
//! | `process_text` | the texts for one process that terminal and pages have in common |
//! | [`text`] | rows as lines for a terminal or a pipe |
//! | [`html`] | rows and the list of containers as pages |
//! | [`json`] | containers and trees as JSON |
//!
//! A container can nest its processes arbitrarily deep, so nothing here is recursive.

mod alike_siblings;
pub mod diff;
pub mod html;
pub mod json;
mod pids_text;
mod process_text;
pub mod rows;
pub mod select;
pub mod text;
pub mod tree;
