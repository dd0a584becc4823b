//! Texts of a thread that are not needed any more, kept for later ones: those of arguments and results are short, and
//! needed only until they are written.

use std::cell::RefCell;

use crate::message::Text;
use crate::retention;
use crate::sync::thread_local;

/// The most texts that are kept.
const MOST: usize = 64;

/// The most bytes of a text that is kept.
const LONGEST: usize = 256;

/// Bytes that most values are written in.
const SMALL: usize = 56;

thread_local! {
    static KEPT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Returns an empty text with room for a small value.
pub(crate) fn take() -> String {
    // The thread may end, and drop what is local to it, which may make calls.
    let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| String::with_capacity(SMALL))
}

/// Returns a copy of a text, in memory of an earlier one if it is short.
pub(crate) fn copy(text: &str) -> Text {
    let mut copy = if text.len() <= LONGEST { take() } else { String::new() };
    if text.len() > retention::SMALL {
        retention::reserve_text(&mut copy, text.len());
    }
    copy.push_str(text);
    Text::Own(copy)
}

/// Keeps the memory of a text, unless it is much.
pub(crate) fn give(text: Text) {
    let Text::Own(mut text) = text else { return };
    if (SMALL..=LONGEST).contains(&text.capacity()) {
        text.clear();
        // While the thread ends, nothing is kept.
        let _ending = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < MOST {
                kept.push(text);
            }
        });
    } else {
        retention::give(text.into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_small_texts_are_kept_as_there_is_room_for() {
        drop(KEPT.take());
        for _ in 0..2 * MOST {
            give(Text::Own("small".to_owned() + &" ".repeat(SMALL)));
            give(Text::Own(" ".repeat(LONGEST + 1)));
        }
        KEPT.with_borrow(|kept| {
            assert_eq!(*kept, vec![""; MOST]);
            assert!(kept.iter().all(|text| text.capacity() <= LONGEST));
        });
        assert_eq!(take().capacity(), SMALL + "small".len());
    }
}
