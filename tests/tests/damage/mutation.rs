//! The kinds of damage to a byte.

/// Damage to one byte of a message.
#[derive(Clone, Copy, Debug)]
pub enum Mutation {
    Deleted,
    /// One of its bits, from the lowest on.
    Flipped(u8),
    Doubled,
    /// It and all behind it are missing.
    Cut,
}

/// Returns whether all eight bits of each byte are flipped in turn, and not only one of them.
pub fn is_thorough() -> bool {
    std::env::var_os("CAPNODE_DAMAGE").is_some_and(|value| value == "thorough")
}

/// All damage to a text, except for equal results: of several equal bytes in a row it does not matter which one is
/// missing, or there twice. `may_vary` tells the bytes that are others each time.
pub fn harms(text: &[u8], may_vary: impl Fn(usize) -> bool) -> Vec<(Mutation, usize)> {
    let mut harms = Vec::new();
    for at in 0..text.len() {
        let again = at > 0 && text[at - 1] == text[at] && !may_vary(at - 1) && !may_vary(at);
        if !again {
            harms.extend([(Mutation::Deleted, at), (Mutation::Doubled, at)]);
        }
        if is_thorough() {
            harms.extend((0..8).map(|bit| (Mutation::Flipped(bit), at)));
        } else {
            // Every bit has its turn.
            harms.push((Mutation::Flipped((at % 8) as u8), at));
        }
        harms.push((Mutation::Cut, at));
    }
    harms
}

impl Mutation {
    pub fn apply(self, at: usize, bytes: &mut Vec<u8>) {
        assert!(at < bytes.len(), "byte {at} of {:?}", String::from_utf8_lossy(bytes));
        match self {
            Mutation::Deleted => drop(bytes.remove(at)),
            Mutation::Flipped(bit) => bytes[at] ^= 1 << bit,
            Mutation::Doubled => bytes.insert(at, bytes[at]),
            Mutation::Cut => bytes.truncate(at),
        }
    }

    /// A text with this damage. Invalid UTF-8 is read as by a transport of texts.
    pub fn of(self, at: usize, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.apply(at, &mut bytes);
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}
