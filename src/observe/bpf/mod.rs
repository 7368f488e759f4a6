//! BPF: programs that count forks, execs and exits in the kernel, and list all processes in one pass.
//!
//! | module | content |
//! |---|---|
//! | [`load`] | loads and attaches the programs, and why that may fail |
//! | [`task_iterator`], [`task_list`], [`task_record`] | the list of processes as a file, its walk, its bytes |
//! | [`counters`] | the event counters of each cgroup |
//! | [`capabilities`] | what loading requires, and dropping it |
//! | `malloc_trim` | returns the memory that loading took |

pub mod capabilities;
pub mod counters;
pub mod load;
mod malloc_trim;
pub mod task_iterator;
pub mod task_list;
pub mod task_record;
