//! The chain of secrets: each caveat is hashed with the secret before it, which is gone from then on.

use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A key, or the secret part of a text.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// Names a secret without telling it.
pub(super) type Tag = [u8; 32];

/// Returns the MAC of parts, each of which is preceded by its length.
pub(super) fn mac(key: &Secret, domain: &str, parts: &[&str]) -> Secret {
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(&**key).expect("HMAC takes keys of any length");
    for part in std::iter::once(&domain).chain(parts) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Returns the secret of an object without caveats.
pub(super) fn first(key: &Secret, head: &[&str]) -> Secret {
    mac(key, "capnode sturdy reference 1", head)
}

/// Returns the secret that follows by a caveat.
pub(super) fn next(secret: &Secret, caveat: &str) -> Secret {
    mac(secret, "capnode sturdy caveat 1", &[caveat])
}

/// Returns what a store may know of a secret.
pub(super) fn tag(secret: &Secret) -> Tag {
    *mac(secret, "capnode sturdy tag 1", &[])
}

/// Compares in a time that tells nothing.
pub(super) fn is_same(one: &Secret, other: &Secret) -> bool {
    let output = |secret: &Secret| CtOutput::<Hmac<Sha256>>::new((**secret).into());
    output(one) == output(other)
}

/// Writes bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// `true` for an id or a secret of `bytes` bytes as this library writes it.
pub(super) fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads what [`hex`] wrote of a secret.
pub(super) fn unhex(text: &str) -> Option<Secret> {
    if !is_hex(text, 32) {
        return None;
    }
    let mut secret = Secret::default();
    for (byte, at) in secret.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(secret)
}
