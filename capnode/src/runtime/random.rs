//! Random numbers.

/// Fills `bytes` with random numbers that cannot be guessed.
///
/// # Errors
///
/// If the system gives no random numbers.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    #[cfg(feature = "testing")]
    if let Some(first) = crate::seeded::number() {
        // In a simulation all numbers follow from its seed.
        let rest = crate::seeded::Draw::new(first);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&rest.number().to_le_bytes()[..chunk.len()]);
        }
        return Ok(());
    }
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
