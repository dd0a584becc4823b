//! Large buffers that are kept for later messages. Memory fresh from the system costs more than what is done with it,
//! so a large buffer that is empty again waits here for the next value or connection that needs one.

use crate::sync::{Mutex, lock};

/// A buffer of bytes up to this size stays with its owner.
pub(crate) const SMALL: usize = 64 << 10;

/// The most buffers that are kept.
const MOST: usize = 8;

/// The most bytes of them, all together.
const BYTES: usize = 8 << 20;

/// The least bytes of one of them. Less is worth no room.
pub(crate) const LEAST: usize = 256 << 10;

/// The most bytes of one of them.
const LARGEST: usize = BYTES / 2;

/// The number of times that a kept buffer may be as large as what is needed.
const SPACIOUS: usize = 8;

static KEPT: Mutex<Kept> = Mutex::new(Kept { buffers: Vec::new(), bytes: 0 });

/// Empty buffers, the last one given back at the end.
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    /// Removes a buffer that fits, preferably one that the processor still has in its caches.
    fn take(&mut self, needed: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (needed..=needed.saturating_mul(SPACIOUS)).contains(&buffer.capacity());
        let buffer = self.buffers.remove(self.buffers.iter().rposition(fits)?);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer in the place of the oldest ones.
    fn give(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.bytes += buffer.capacity();
        self.buffers.push(buffer);
        while self.bytes > BYTES || self.buffers.len() > MOST {
            self.bytes -= self.buffers.remove(0).capacity();
        }
    }
}

/// Makes room for exactly `more` bytes in a buffer, which may become a kept one if it becomes large.
#[cfg(any(feature = "tokio", test))]
pub(crate) fn reserve(buffer: &mut Vec<u8>, more: usize) {
    let needed = buffer.len() + more;
    if needed <= buffer.capacity() {
        return;
    }
    let kept = if needed >= LEAST / SPACIOUS { lock(&KEPT).take(needed) } else { None };
    let Some(mut larger) = kept else { return buffer.reserve_exact(more) };
    larger.extend_from_slice(buffer);
    give(std::mem::replace(buffer, larger));
}

/// Makes room for `more` bytes in a text, and for as many as it has, if that is much.
pub(crate) fn reserve_text(text: &mut String, more: usize) {
    if text.len() + more <= text.capacity().max(SMALL) {
        return;
    }
    let more = more.max(text.len());
    let kept = lock(&KEPT).take(text.len() + more).and_then(|kept| String::from_utf8(kept).ok());
    let Some(mut larger) = kept else { return text.reserve_exact(more) };
    larger.push_str(text);
    give(std::mem::replace(text, larger).into_bytes());
}

/// Keeps a large buffer that is not needed any more.
pub(crate) fn give(buffer: Vec<u8>) {
    if (LEAST..=LARGEST).contains(&buffer.capacity()) {
        lock(&KEPT).give(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_bytes_are_kept_than_stated_and_the_last_ones_are() {
        let mut kept = Kept { buffers: Vec::new(), bytes: 0 };
        for kib in (300..320).chain(2_000..2_020) {
            kept.give(vec![7; kib << 10]);
            let bytes: usize = kept.buffers.iter().map(Vec::capacity).sum();
            assert!(kept.bytes == bytes && bytes <= BYTES && kept.buffers.len() <= MOST, "{bytes}");
        }
        let last = kept.take(2_000 << 10).unwrap();
        assert!(last.is_empty() && last.capacity() >= 2_019 << 10);
        assert!(kept.take(2_000 << 10).is_some_and(|buffer| buffer.capacity() < 2_019 << 10));
        assert_eq!(kept.buffers.len(), 2);
    }

    #[test]
    fn a_kept_buffer_is_not_much_larger_than_what_is_needed() {
        let mut kept = Kept { buffers: Vec::new(), bytes: 0 };
        kept.give(Vec::with_capacity(LARGEST));
        assert!(kept.take(LARGEST + 1).is_none());
        assert!(kept.take(LARGEST / SPACIOUS - 1).is_none());
        assert!(kept.take(LARGEST / SPACIOUS).is_some());
    }

    #[test]
    fn a_buffer_that_grows_keeps_its_content() {
        let (mut bytes, mut text) = (b"content".to_vec(), "content".to_owned());
        for more in [10, SMALL, LEAST, LARGEST / 2, 2 * LARGEST] {
            give(Vec::with_capacity(more + 100));
            give(Vec::with_capacity(more + 100));
            reserve(&mut bytes, more);
            assert!(bytes == b"content" && bytes.capacity() - bytes.len() >= more);
            reserve_text(&mut text, more);
            assert_eq!(text, "content");
        }
        assert!(text.capacity() - text.len() >= 2 * LARGEST);
    }
}
