//! Baselines, benchmark suites and the report
