//! Entries for sturdy texts.

use super::text;
use crate::cap::Cap;
use crate::sturdy::{Caveat, Signed, Sturdy};

/// A text, a caveat in one, or a signed reference: each has one way to be written.
pub fn sturdy_text(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(sturdy) = text.parse::<Sturdy>() {
        let written = sturdy.reveal();
        assert!(written.parse::<Sturdy>().is_ok_and(|again| again.reveal() == written));
        assert!(!format!("{sturdy:?}{sturdy}").contains(written.as_str()));
    }
    if let Ok(signed) = text.parse::<Signed<Cap>>() {
        assert!(signed.to_string().parse::<Signed<Cap>>().is_ok_and(|again| again == signed), "{signed}");
    }
    if let Ok(caveat) = text.parse::<Caveat>() {
        assert!(caveat.to_string().parse::<Caveat>().is_ok_and(|again| again == caveat), "{caveat:?}");
    }
}
