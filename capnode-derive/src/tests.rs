//! Tests of the macro's refusals, and of the size of its output.

mod refusals;
mod size;
