//! Random numbers.

/// Fills `bytes` with random numbers that cannot be guessed.
///
/// # Errors
///
/// If the system gives no random numbers.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}

/// Returns random bytes that cannot be guessed.
///
/// # Panics
///
/// If the system gives no random numbers: secrets need them.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[allow(clippy::expect_used)]
    fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

/// Returns a random number that cannot be guessed.
///
/// # Panics
///
/// Like [`bytes`].
pub(crate) fn number() -> u64 {
    u64::from_ne_bytes(bytes())
}
