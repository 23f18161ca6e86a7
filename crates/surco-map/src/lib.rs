//! Windowed inference to a COG, and areas with their intervals.
//!
//! Nothing here trains.

pub mod area;
mod classify;
mod embed;
mod number;
mod strips;
mod task;

pub use classify::{ClassMap, ClassifyError, classify, write_map};
pub use embed::embed_cell;
pub use number::{
    NUMBER_FILE, NumberMap, NumberTask, foretell, load_number_task, read_number_task,
    save_number_task, write_numbers,
};
pub use task::{Sets, TASK_FILE, Task, TaskError, load_task, read_task, save_task};
