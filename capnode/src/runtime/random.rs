//! Random numbers.

/// Fills `bytes` with numbers that nobody guesses.
///
/// # Errors
///
/// If the system gives none.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}

/// Returns bytes that nobody guesses.
///
/// # Panics
///
/// If the system gives no random numbers, without which nothing can be kept secret.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[allow(clippy::expect_used)]
    fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

/// Returns a number that nobody guesses.
///
/// # Panics
///
/// Like [`bytes`].
pub(crate) fn number() -> u64 {
    u64::from_ne_bytes(bytes())
}
