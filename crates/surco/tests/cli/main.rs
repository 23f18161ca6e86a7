//! Whole paths through the program, run as a user runs it: the binary, files, exit codes, words.
//!
//! Nothing here needs a network, data beside the repository or another program than `kill` and `sh`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod bench;
mod ctrl_c;
mod disk;
mod faults;
mod forecast;
mod help;
mod kill;
mod labels;
mod learner;
mod meteor;
mod numbers;
mod path;
mod pretraining;
mod refusals;
mod scale;
mod suites;
mod valley;
mod weights;
