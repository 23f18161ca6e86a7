//! Cloud Optimized GeoTIFF, projections, vectors and rasterising
