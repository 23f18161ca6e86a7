//! Baselines, benchmark suites and the report.

pub mod fewshot;
pub mod forecast;
pub mod forest;
pub mod invariance;
pub mod logistic;
pub mod metrics;
pub mod prepare;
pub mod pretraining;
pub mod reconstruction;
pub mod regression;
pub mod report;
pub mod scaling;
pub mod spread;
pub mod suspects;
pub mod trust;
