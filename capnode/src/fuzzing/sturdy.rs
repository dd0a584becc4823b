//! Entries for sturdy texts.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::UNIX_EPOCH;

use super::text;
use crate::cap::Cap;
use crate::signed::{Entry, SecretKey, Signer as _, Verifier};
use crate::sturdy::documents::Documents;
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

/// A nonce of a caller's or an owner's, a signature of an owner's, or a row of a store. None is fresh or signed but what the owner
/// has made.
pub fn sturdy_nonce(data: &[u8]) {
    const ORIGIN: &str = "https://node.example";
    let Some(text) = text(data) else { return };
    if let Ok(entry) = text.parse::<Entry>() {
        assert_eq!(entry.to_string().parse().ok(), Some(entry));
    }
    let key = SecretKey::from_seed(&[1; 32]);
    let owner = key.public_key();
    let documents =
        Documents::new(Verifier::new(key.public_key(), ORIGIN, UNIX_EPOCH).expect("it is an origin"), key);
    assert!(!documents.is_fresh(text, 1000), "{text}");
    let asked = pin!(documents.challenge(text, 1000));
    let Poll::Ready(Ok(mut challenge)) = asked.poll(&mut Context::from_waker(Waker::noop())) else { return };
    assert!(challenge.check(&owner, ORIGIN, text).is_ok(), "{text}");
    assert!(documents.is_fresh(&challenge.nonce, 1060) && !documents.is_fresh(&challenge.nonce, 1061));
    assert!(!documents.is_fresh(&format!("{}{text}", challenge.nonce), 1000), "{text}");
    challenge.nonce = text.to_owned();
    assert!(challenge.check(&owner, ORIGIN, text).is_err(), "{text}");
}
