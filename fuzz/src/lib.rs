//! What the fuzz targets need beside the library.

pub mod session;
