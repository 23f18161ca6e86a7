//! A simulated valley: real products whose truth is known
