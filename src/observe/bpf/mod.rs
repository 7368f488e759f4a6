//! BPF: programs that count forks, execs and exits in the kernel, and list all processes in one pass.
//!
//! | module | content |
//! |---|---|
//! | [`load`] | loads and attaches the programs, with the errors |
//! | [`task_iterator`] | the task list as a file |
//! | [`task_list`] | walks the task list |
//! | [`task_record`] | parses the records of the task list |
//! | [`counters`] | the event counters of each cgroup |
//! | [`command_counters`] | the event counters of each cgroup and command |
//! | [`oom_victims`] | the processes that the OOM killer ended |
//! | [`capabilities`] | checks and drops the required capabilities |
//! | `malloc_trim` | returns memory to the system after loading |

pub mod capabilities;
pub mod command_counters;
pub mod counters;
pub mod load;
mod malloc_trim;
pub mod oom_victims;
pub mod task_iterator;
pub mod task_list;
pub mod task_record;
