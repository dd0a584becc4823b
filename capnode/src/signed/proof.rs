//! Proofs: the kinds of signature that are known.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::base58;
use super::key::PublicKey;
use super::refusal::{Refusal, Rule};

/// A kind of Data Integrity proof. A document whose proof is of none that its verifier was given is refused.
pub trait ProofType: Send + Sync {
    /// Returns the name of the cryptosuite, which a proof of this kind bears.
    fn cryptosuite(&self) -> &str;

    /// Verifies that the key of `did` has signed a document. `options` is the proof without its value and `document`
    /// the document without its proof, both in the canonical form of RFC 8785.
    ///
    /// # Errors
    ///
    /// With [`Refusal::signature`] if it did not.
    fn verify(&self, did: &str, options: &str, document: &str, value: &str) -> Result<(), Refusal>;
}

impl Refusal {
    /// Returns the refusal of a signature that does not hold.
    pub fn signature(detail: impl Into<String>) -> Self {
        Rule::Signature.broken(detail)
    }
}

/// The proof type `eddsa-jcs-2022`: Ed25519, over the canonical form of RFC 8785.
#[derive(Clone, Copy, Debug, Default)]
pub struct EddsaJcs2022;

/// The name of that type.
pub(super) const EDDSA: &str = "eddsa-jcs-2022";

/// Returns what is signed.
pub(super) fn hashed(options: &str, document: &str) -> [u8; 64] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&Sha256::digest(options));
    both[32..].copy_from_slice(&Sha256::digest(document));
    both
}

/// Returns a signature as a proof holds it.
pub(crate) fn written(signature: &[u8; 64]) -> String {
    format!("z{}", base58::encode(signature))
}

/// `true` if the coordinate of a key is below the prime of its field: it has other writings above.
fn is_canonical(key: &[u8; 32]) -> bool {
    let full = key[31] & 0x7f == 0x7f && key[1..31].iter().all(|byte| *byte == 0xff);
    !full || key[0] < 0xed
}

impl ProofType for EddsaJcs2022 {
    fn cryptosuite(&self) -> &str {
        EDDSA
    }

    fn verify(&self, did: &str, options: &str, document: &str, value: &str) -> Result<(), Refusal> {
        did.parse::<PublicKey>()?.verify(&hashed(options, document), value)
    }
}

impl PublicKey {
    /// Checks a signature as a proof holds it.
    pub(crate) fn verify(self, message: &[u8], value: &str) -> Result<(), Refusal> {
        let bytes = self.to_bytes();
        let key = VerifyingKey::from_bytes(&bytes).ok().filter(|_| is_canonical(&bytes));
        let key = key.ok_or_else(|| Rule::Key.broken(format!("`{self}` is no point of the curve")))?;
        let signature = value.strip_prefix('z').and_then(base58::decode::<64>);
        let signature = signature.ok_or_else(|| Refusal::signature("this is no signature in base58"))?;
        key.verify_strict(message, &Signature::from_bytes(&signature))
            .map_err(|_| Refusal::signature(format!("`{self}` has not signed this")))
    }
}
