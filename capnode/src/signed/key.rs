//! Keys and those who sign with them.

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use base64_simd::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::threads::{Send, Sync};

use super::base58;
use super::refusal::{Refusal, Rule};

/// The code of an Ed25519 public key among multicodecs.
const ED25519: [u8; 2] = [0xed, 0x01];

/// A public key of Ed25519, which is written as `did:key:z6Mk…`, also in serde. Nothing about it is
/// secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes a key of 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Returns the name of the method by which documents are verified: the key, `#`, and its last part once more.
    pub(super) fn method(did: &str) -> String {
        format!("{did}#{}", did.strip_prefix("did:key:").unwrap_or(did))
    }
}

impl FromStr for PublicKey {
    type Err = Refusal;

    /// Reads a key as [`Display`](fmt::Display) writes it, and in no other way.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let bytes = text.strip_prefix("did:key:z").and_then(base58::decode::<34>);
        let key = bytes.and_then(|bytes| bytes.strip_prefix(&ED25519)?.try_into().ok());
        key.map(Self).ok_or_else(|| Rule::Key.broken(format!("`{text}` is no did:key of Ed25519")))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "did:key:z{}", base58::encode(&[&ED25519[..], &self.0].concat()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Whoever signs for a key: a [`SecretKey`], or something of yours that asks a page, an agent or a security module.
pub trait Signer: Sync {
    /// Returns the key with which the signatures are verified.
    fn public_key(&self) -> PublicKey;

    /// Returns the Ed25519 signature of a message, in 64 bytes.
    fn sign(&self, message: &[u8]) -> impl Future<Output = Result<[u8; 64], Error>> + Send;
}

/// A secret key of Ed25519. It is overwritten when it is dropped, and `Debug` shows the public key alone.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// The members of a JWK of Ed25519.
#[derive(serde::Deserialize)]
struct Jwk<'a> {
    kty: &'a str,
    crv: &'a str,
    // Borrowed, so that there is no copy to be overwritten.
    d: &'a str,
    x: Option<&'a str>,
}

impl SecretKey {
    /// Makes a key from the system's random numbers. It cannot be saved: for one that outlives the program keep 32 random bytes,
    /// and take the key [of these](Self::from_seed).
    ///
    /// # Panics
    ///
    /// If the system gives no random numbers.
    pub fn random() -> Self {
        Self::from_seed(&Zeroizing::new(crate::runtime::random::bytes()))
    }

    /// Takes the key of a seed: what RFC 8032 calls the private key.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a private key of the type `OKP` and the curve `Ed25519` from the JSON of a JWK.
    ///
    /// # Errors
    ///
    /// With [`Rule::Key`], if it is none, or its two halves do not belong together. The error says nothing of the key.
    pub fn from_jwk(json: &str) -> Result<Self, Refusal> {
        let broken = || Rule::Key.broken("this is no private JWK of Ed25519");
        let jwk: Jwk<'_> = serde_json::from_str(json).map_err(|_| broken())?;
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
            return Err(broken());
        }
        let decode =
            |text: &str| URL_SAFE_NO_PAD.decode_to_vec(text).map(Zeroizing::new).map_err(|_| broken());
        let seed = decode(jwk.d)?;
        let key = Self::from_seed(seed.as_slice().try_into().map_err(|_| broken())?);
        let other = jwk.x.map(decode).transpose()?;
        let same = other.is_none_or(|other| other.as_slice() == key.public_key().0);
        if same { Ok(key) } else { Err(broken()) }
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], Error> {
        Ok(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.public_key()).finish_non_exhaustive()
    }
}
