//! Labels, series, blocks, episodes and batches as plain arrays
