//! Files made to hurt: whatever the bytes, reading gives an error or pixels of the declared shape, in
//! bounded time, and holds memory in proportion to the file and one block of it.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod allocator;
mod corrupt;
mod forge;
mod named;
mod read;
