//! Entries for signed documents, and for the names in them.

use std::time::UNIX_EPOCH;

use super::{assert_json, is_json, text};
use crate::signed::tree::Tree;
use crate::signed::{Invocation, Link, PublicKey, SecretKey, Signer, Verifier, base58, target, time};

/// A text with one reading, which is the same when it is written and read again.
pub fn signed_json(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(tree) = Tree::parse(text) else { return };
    assert_json(text);
    let canonical = tree.canonical();
    assert_eq!(is_json(&canonical), Some(true), "{canonical}");
    let again = Tree::parse(&canonical).expect("it was read before");
    assert_eq!(again, tree);
    assert_eq!(again.canonical(), canonical);
}

/// A link or an invocation. A link is the same when it is written and read again.
pub fn signed_document(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let owner = SecretKey::from_seed(&[1; 32]).public_key();
    let verifier = Verifier::new(owner, "https://node.example", UNIX_EPOCH).expect("it is an origin");
    let now = time::system(1_795_644_000_000);
    if let Ok(result) = Invocation::result(text) {
        assert!(target::segments(&result).is_ok());
    }
    let _permit = verifier.take(text, None, now, |_| false);
    let checked = verifier.check_link(text, now);
    let Ok(link) = text.parse::<Link>() else {
        assert!(checked.is_err(), "{text}");
        return;
    };
    assert_eq!(link.to_string().parse(), Ok(link));
}

/// A key, a target, an origin or a time: each has one way to be written. A signature of nobody is refused.
pub fn signed_names(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let nobody = SecretKey::from_seed(&[1; 32]).public_key();
    assert!(nobody.verify(b"what nobody has signed", text).is_err(), "{text}");
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = SecretKey::from_jwk(text) {
        assert!(!format!("{key:?}").contains("\"d\""));
    }
    if let Some(bytes) = base58::decode::<8>(text) {
        assert_eq!(base58::encode(&bytes), text);
    }
    let origin = target::check_origin(text);
    if let Ok(child) = target::child(text, "a name/%") {
        let last =
            target::segments(&child).ok().and_then(|segments| segments.last().map(ToString::to_string));
        assert_eq!(last.as_deref(), Some("a name/%"));
    }
    if let Ok(segments) = target::segments(text) {
        assert!(origin.is_err() && text.is_ascii());
        let path: String = segments.iter().map(|name| format!("/{}", target::escape(name))).collect();
        assert!(text.ends_with(&path));
        assert_eq!(target::target_of_root(&target::root_id(text)).as_deref(), Some(text));
    }
    if let Some(target) = target::target_of_root(text) {
        assert_eq!(target::root_id(&target), text);
    }
    if let Some(millis) = time::read(text) {
        assert_eq!(time::read(&time::write(millis)), Some(millis));
    }
}
