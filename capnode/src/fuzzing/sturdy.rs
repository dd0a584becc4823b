//! Entries for sturdy texts.

use super::text;
use crate::sturdy::{Caveat, Sturdy};

/// A text, or a caveat in one: each has one way to be written.
pub fn sturdy_text(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(sturdy) = text.parse::<Sturdy>() {
        let written = sturdy.reveal();
        assert!(written.parse::<Sturdy>().is_ok_and(|again| again.reveal() == written));
        assert!(!format!("{sturdy:?}{sturdy}").contains(written.as_str()));
    }
    if let Ok(caveat) = text.parse::<Caveat>() {
        assert!(caveat.to_string().parse::<Caveat>().is_ok_and(|again| again == caveat), "{caveat:?}");
    }
}
