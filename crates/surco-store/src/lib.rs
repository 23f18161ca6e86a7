//! The cube on disk: sharded Zarr v3, manifest and atomic commit
