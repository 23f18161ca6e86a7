//! Windowed inference to a COG, and areas with their intervals.
//!
//! Nothing here trains.

pub mod area;
mod classify;
mod embed;
mod task;

pub use classify::{ClassMap, ClassifyError, classify, write_map};
pub use embed::embed_cell;
pub use task::{Sets, Task, TaskError, load_task, read_task, save_task};
