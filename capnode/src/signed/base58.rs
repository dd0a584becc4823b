//! Base58 in Bitcoin's alphabet, of values of a known length.

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Writes bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut digits: Vec<u8> = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).map(|_| 0);
    zeros.chain(digits.iter().rev().copied()).map(|digit| char::from(ALPHABET[usize::from(digit)])).collect()
}

/// Reads a text that [`encode`] writes for so many bytes, and no other.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Fewer digits than this stand for fewer bytes, or for more.
    if text.len() > N * 138 / 100 + 1 {
        return None;
    }
    let mut bytes = [0; N];
    for digit in text.bytes() {
        let mut carry = u32::try_from(ALPHABET.iter().position(|known| *known == digit)?).ok()?;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            return None;
        }
    }
    // Zeros in front are digits of their own, and there are neither too many nor too few.
    (encode(&bytes) == text).then_some(bytes)
}
