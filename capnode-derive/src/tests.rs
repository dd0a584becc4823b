//! Tests of the macro's refusals, and of the size of its output.

#[cfg(feature = "describe")]
mod described;
mod refusals;
// A description has a size of its own.
#[cfg(not(feature = "describe"))]
mod size;
