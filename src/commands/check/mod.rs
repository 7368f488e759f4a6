//! `--check`: what can be monitored on this machine, what cannot, and how to fix it.
//!
//! | file | content |
//! |---|---|
//! | `checks` | the checks |
//! | `report_table` | their results as text |

mod checks;
mod report_table;

pub use checks::run;
