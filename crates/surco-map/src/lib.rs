//! Windowed inference to a COG, and areas with their intervals
