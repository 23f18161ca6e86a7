//! Pre-training, meta-training and adaptation
