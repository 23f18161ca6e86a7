//! A loopback archive: STAC API and range-readable COGs from a folder
