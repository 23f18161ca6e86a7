//! Baselines, benchmark suites and the report.

pub mod fewshot;
pub mod fields;
pub mod folds;
pub mod forecast;
pub mod forest;
pub mod geobench;
pub mod invariance;
pub mod logistic;
pub mod metrics;
pub mod prepare;
pub mod pretraining;
pub mod ranks;
pub mod reconstruction;
pub mod regression;
pub mod report;
pub mod scaling;
pub mod segmentation;
pub mod spread;
pub mod suite;
pub mod suspects;
pub mod trust;
