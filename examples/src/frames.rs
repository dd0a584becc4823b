//! The frames that have crossed a line in memory.

use std::sync::{Arc, Mutex, PoisonError};

use capnode::testing::{Crossing, Line};

/// The frames that have arrived at either end of a [`Line`].
#[derive(Clone, Debug, Default)]
pub struct Frames(Arc<Mutex<Vec<Crossing>>>);

impl Frames {
    /// Returns the line, whose frames are noted from now on.
    #[must_use]
    pub fn on(&self, line: Line) -> Line {
        let frames = self.clone();
        line.witness(move |crossing| frames.0.lock().unwrap_or_else(PoisonError::into_inner).push(crossing))
    }

    /// Returns the texts of all frames since the last [`clear`](Self::clear), each with `true` if the client sent it.
    pub fn all(&self) -> Vec<(bool, String)> {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().map(|crossing| (&*crossing.from == "client", crossing.frame.clone())).collect()
    }

    /// Returns the numbers of frames of the client and of the server.
    pub fn count(&self) -> (usize, usize) {
        let frames = self.all();
        let out = frames.iter().filter(|(out, _)| *out).count();
        (out, frames.len() - out)
    }

    /// Returns the number of frames of the client that arrived before the first of the server did.
    pub fn out_before_first_in(&self) -> usize {
        self.all().iter().take_while(|(out, _)| *out).count()
    }

    /// Forgets the frames that have been seen.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
