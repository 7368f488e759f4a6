//! The BPF programs: loaded, attached, read.

pub mod capabilities;
pub mod load;
pub mod malloc_trim;
pub mod task_list;
pub mod task_record;
