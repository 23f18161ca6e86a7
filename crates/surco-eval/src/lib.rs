//! Baselines, benchmark suites and the report.

pub mod fewshot;
pub mod forest;
pub mod logistic;
pub mod metrics;
pub mod prepare;
pub mod report;
pub mod spread;
