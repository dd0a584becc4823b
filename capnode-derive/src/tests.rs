//! What the macro refuses, and how much it emits.

mod refusals;
mod size;
