//! The table of an interface: the names of its methods, and of those that it has from others.

use crate::message::{Key, Text};

/// The table of an interface. There is one for each, whatever its type parameters are.
#[doc(hidden)]
#[derive(Debug)]
pub struct Interface {
    pub(crate) name: &'static str,
    /// Names the interface in this program: its path, and its place, since functions can have interfaces too.
    identity: &'static str,
    methods: &'static [Method],
    /// The interfaces that this one extends, and those that these extend, each once.
    ancestors: &'static [Option<Ancestor>],
    /// The interfaces in `extends(..)`, in their order.
    parents: &'static [Parent],
}

/// An interface in `extends(..)`.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    interface: &'static Interface,
    /// The parameters that it is given there.
    given: &'static [&'static [Piece]],
}

/// A piece of a parameter that a parent is given. A table cannot hold types for comparison, so they are compared in
/// their written form.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    /// A word that means the same everywhere.
    Word(&'static str),
    /// The module in which the word after it has its meaning.
    Module(&'static str),
    /// The crate of this module.
    Crate(&'static str),
    /// A parameter of the interface that extends, by its place.
    Param(usize),
    /// Pieces in the place of a parameter.
    Part(&'static [Piece]),
}

/// The parameters of an interface, seen from one that extends it: hashes of their written form.
#[derive(Clone, Copy, Debug)]
struct Params([u64; MOST_PARAMS]);

/// An interface that another extends, directly or not.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ancestor {
    interface: &'static Interface,
    /// The place in `extends(..)` of the interface by which it is reached.
    parent: u8,
    /// Its entry there.
    entry: u8,
    /// A hash of its parameters.
    params: u64,
}

/// All that an interface extends.
#[doc(hidden)]
#[derive(Debug)]
pub struct Ancestors {
    list: [Option<Ancestor>; MOST_ANCESTORS],
    count: usize,
    parents: &'static [Parent],
}

/// A method of an interface, or a place without one.
#[doc(hidden)]
#[derive(Debug)]
pub struct Method {
    /// The name on the wire. It is empty for a method that is not part of this build.
    pub(crate) name: &'static str,
    /// `true` if the name needs no escape on the wire.
    plain: bool,
    /// The name in Rust.
    ident: &'static str,
    pub(crate) args: &'static [&'static str],
    pub(crate) property: bool,
    /// `true` if a call of it changes nothing.
    reads: bool,
    /// `true` if a call of it may run more than once.
    idempotent: bool,
    /// `true` if the reference that it gives can be had again by the same call.
    rederives: bool,
    pub(crate) handler_options: HandlerOptions,
}

/// The manner in which a handler runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandlerOptions {
    /// `true` if the handler runs to its end, even if its caller gives up.
    pub(crate) no_cancel: bool,
    /// `true` if the handler blocks its thread.
    pub(crate) blocking: bool,
}

/// The most interfaces that one may extend, directly or not.
const MOST_ANCESTORS: usize = 128;

/// The most parameters of an interface that is extended.
const MOST_PARAMS: usize = 16;

/// A method's number is its place in its own interface, and in the bits from here on the entry of that interface.
const ENTRY: u32 = 16;

/// Names that every client has, and so hides in the client that it dereferences to: of `Client`, `Clone`, `PartialEq`,
/// `Into`, `TryInto` and `ToOwned`.
const TAKEN: [&str; 10] = [
    "cap",
    "with_call_time",
    "clone",
    "clone_from",
    "eq",
    "ne",
    "into",
    "try_into",
    "to_owned",
    "clone_into",
];

impl Method {
    pub const fn call(name: &'static str, ident: &'static str, args: &'static [&'static str]) -> Self {
        Self {
            name,
            plain: is_plain(name),
            ident,
            args,
            property: false,
            reads: false,
            idempotent: false,
            rederives: false,
            handler_options: HandlerOptions { no_cancel: false, blocking: false },
        }
    }

    pub const fn property(name: &'static str, ident: &'static str) -> Self {
        Self { property: true, ..Self::call(name, ident, &[]) }
    }

    /// The place of a method that is not part of this build.
    pub const fn absent() -> Self {
        Self::call("", "", &[])
    }

    pub const fn no_cancel(mut self) -> Self {
        self.handler_options.no_cancel = true;
        self
    }

    pub const fn read(mut self) -> Self {
        self.reads = true;
        self
    }

    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    pub const fn rederive(mut self) -> Self {
        self.rederives = true;
        self
    }

    pub const fn blocking(mut self) -> Self {
        self.handler_options.blocking = true;
        self
    }
}

impl Method {
    /// Returns the name in Rust.
    pub(crate) fn ident(&self) -> &'static str {
        self.ident
    }

    /// Returns `true` if a call of it changes nothing.
    pub(crate) fn reads(&self) -> bool {
        self.reads
    }

    /// Returns `true` if a call of it may run more than once.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent || self.rederives || self.reads || self.property
    }

    /// Returns `true` if the reference that it gives can be had again by the same call.
    #[cfg(feature = "tokio")]
    pub(crate) fn rederives(&self) -> bool {
        self.rederives
    }

    /// Returns the name as a step of a path.
    pub(crate) fn key(&self) -> Key {
        Key::Name(if self.plain { Text::Static(self.name) } else { Text::Own(self.name.to_owned()) })
    }
}

/// Returns `true` if JSON writes a name as it is, between quotes.
const fn is_plain(name: &str) -> bool {
    let (bytes, mut at) = (name.as_bytes(), 0);
    while at < bytes.len() {
        if bytes[at] < b' ' || bytes[at] == b'"' || bytes[at] == b'\\' {
            return false;
        }
        at += 1;
    }
    true
}

impl Parent {
    pub const fn new(interface: &'static Interface, given: &'static [&'static [Piece]]) -> Self {
        Self { interface, given }
    }
}

impl Params {
    /// The parameters of an interface seen from itself.
    const fn own() -> Self {
        let mut params = [0; MOST_PARAMS];
        let mut at = 0;
        while at < MOST_PARAMS {
            params[at] = at as u64 + 1;
            at += 1;
        }
        Self(params)
    }

    /// Returns the parameters of a parent, which is `given` them by an interface with these parameters.
    #[track_caller]
    const fn of_parent(&self, given: &[&[Piece]]) -> Self {
        assert!(given.len() <= MOST_PARAMS, "an interface that is extended has at most 16 parameters");
        let mut params = [0; MOST_PARAMS];
        let mut at = 0;
        while at < given.len() {
            params[at] = self.hash(given[at]);
            at += 1;
        }
        Self(params)
    }

    const fn hash(&self, pieces: &[Piece]) -> u64 {
        if let [Piece::Param(at)] = pieces {
            assert!(*at < MOST_PARAMS, "an interface that extends one with its parameters has at most 16");
            return self.0[*at];
        }
        let mut hash = HASH;
        let mut at = 0;
        while at < pieces.len() {
            hash = match pieces[at] {
                Piece::Word(word) | Piece::Module(word) => hashed(hash, word.as_bytes(), word.len()),
                Piece::Crate(module) => hashed(hash, module.as_bytes(), len_of_first(module)),
                Piece::Part(part) => hashed(hash, &self.hash(part).to_le_bytes(), 8),
                // It would be a part.
                Piece::Param(_) => hash,
            };
            at += 1;
        }
        hash
    }

    /// All of them together.
    const fn all(&self) -> u64 {
        let mut hash = HASH;
        let mut at = 0;
        while at < MOST_PARAMS {
            hash = hashed(hash, &self.0[at].to_le_bytes(), 8);
            at += 1;
        }
        hash
    }
}

/// The hash of nothing.
const HASH: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, and of the length so that words keep apart.
const fn hashed(mut hash: u64, bytes: &[u8], len: usize) -> u64 {
    let mut at = 0;
    while at < len {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    (hash ^ len as u64).wrapping_mul(0x0100_0000_01b3)
}

/// The length of the name of the crate in a path.
const fn len_of_first(path: &str) -> usize {
    let path = path.as_bytes();
    let mut len = 0;
    while len < path.len() && path[len] != b':' {
        len += 1;
    }
    len
}

impl Ancestors {
    /// Returns all interfaces that an interface with these `parents` extends. One that several of them extend is taken
    /// once.
    #[track_caller]
    pub const fn of(parents: &'static [Parent]) -> Self {
        let mut all = Self { list: [None; MOST_ANCESTORS], count: 0, parents };
        let mut parent = 0;
        while parent < parents.len() {
            let Parent { interface: of, given } = parents[parent];
            let params = Params::own().of_parent(given);
            let mut entry = 0;
            while let Some(interface) = of.entry(entry) {
                let params = of.params(entry, params).all();
                all.add(Ancestor { interface, parent: parent as u8, entry: entry as u8, params });
                entry += 1;
            }
            parent += 1;
        }
        all
    }

    #[track_caller]
    const fn add(&mut self, ancestor: Ancestor) {
        let mut at = 0;
        while at < self.count {
            if let Some(earlier) = &self.list[at] {
                if is_same(earlier.interface.identity, ancestor.interface.identity) {
                    if earlier.params != ancestor.params {
                        fail(&[
                            "`",
                            ancestor.interface.name,
                            "` is extended here in two ways, with parameters that are not written alike, so that its \
                             methods would have two meanings under one name: write the same in both, from `crate::` on, \
                             or extend only one of them",
                        ]);
                    }
                    return;
                }
            }
            at += 1;
        }
        assert!(self.count < MOST_ANCESTORS, "an interface extends at most 128 others, directly or not");
        self.list[self.count] = Some(ancestor);
        self.count += 1;
    }
}

impl Interface {
    /// The table of an interface that extends none.
    pub const fn new(name: &'static str, identity: &'static str, methods: &'static [Method]) -> Self {
        Self { name, identity, methods, ancestors: &[], parents: &[] }
    }

    /// Returns what tells the interface from all others in this program.
    #[cfg(feature = "describe")]
    pub(crate) fn identity(&self) -> &'static str {
        self.identity
    }

    /// Returns its own methods, and places without one.
    #[cfg(feature = "describe")]
    pub(crate) fn own_methods(&self) -> &'static [Method] {
        self.methods
    }

    /// Adds the interfaces that this one extends. Its client dereferences to that of the first parent, and has the
    /// methods `casts` that give the others.
    ///
    /// # Panics
    ///
    /// If a name in it has two meanings, which stops the compiler.
    #[track_caller]
    pub const fn extending(self, ancestors: &'static Ancestors, casts: &[&str]) -> Self {
        let list = ancestors.list.split_at(ancestors.count).0;
        let this = Self { ancestors: list, parents: ancestors.parents, ..self };
        let mut entry = 0;
        while let Some(one) = this.entry(entry) {
            let mut later = entry + 1;
            while let Some(other) = this.entry(later) {
                one.check_beside(other);
                later += 1;
            }
            if entry > 0 {
                one.check_as_parent(&this, casts);
            }
            entry += 1;
        }
        this
    }

    /// Checks that no method of this interface has a name of a method of `other`.
    #[track_caller]
    const fn check_beside(&self, other: &Interface) {
        let mut at = 0;
        while at < self.methods.len() {
            let one = &self.methods[at];
            let mut at_other = 0;
            while at_other < other.methods.len() {
                let two = &other.methods[at_other];
                if !one.ident.is_empty() && is_same(one.ident, two.ident) {
                    fail(&[
                        "`",
                        one.ident,
                        "` is a method of `",
                        self.name,
                        "` and of `",
                        other.name,
                        "`, which are both extended here or extend each other: rename one",
                    ]);
                }
                if !one.name.is_empty() && is_same(one.name, two.name) {
                    let words = [
                        "` are both `",
                        one.name,
                        "` on the wire: give one another name with `#[capnode(name = \"..\")]`",
                    ];
                    fail(&[
                        "`", self.name, "::", one.ident, "` and `", other.name, "::", two.ident, words[0],
                        words[1], words[2],
                    ]);
                }
                at_other += 1;
            }
            at += 1;
        }
    }

    /// Checks that the client of `child` hides no method of this interface, which it extends.
    #[track_caller]
    const fn check_as_parent(&self, child: &Interface, casts: &[&str]) {
        let mut at = 0;
        while at < self.methods.len() {
            let ident = self.methods[at].ident;
            if contains(&TAKEN, ident) || contains(casts, ident) {
                fail(&[
                    "`",
                    self.name,
                    "::",
                    ident,
                    "` can't be called by the client of `",
                    child.name,
                    "`, which has a `",
                    ident,
                    "` of its own: rename it, with `#[capnode(name = \"..\")]` to keep its name on the wire",
                ]);
            }
            at += 1;
        }
    }

    /// The interface itself and those it extends, by their numbers.
    const fn entry(&self, entry: usize) -> Option<&Interface> {
        if entry == 0 {
            return Some(self);
        }
        if entry > self.ancestors.len() {
            return None;
        }
        match &self.ancestors[entry - 1] {
            Some(ancestor) => Some(ancestor.interface),
            None => None,
        }
    }

    /// The parameters of an entry, if those of the interface are `params`.
    #[track_caller]
    const fn params(&self, mut entry: usize, mut params: Params) -> Params {
        let mut at = self;
        while entry > 0 {
            let Some(ancestor) = &at.ancestors[entry - 1] else { break };
            let parent = &at.parents[ancestor.parent as usize];
            params = params.of_parent(parent.given);
            entry = ancestor.entry as usize;
            at = parent.interface;
        }
        params
    }

    pub(crate) fn method(&self, number: usize) -> Option<&Method> {
        // Nearly every number is that of a method of its own.
        if let Some(method) = self.methods.get(number) {
            return Some(method);
        }
        self.entry(number >> ENTRY)?.methods.get(number & ((1 << ENTRY) - 1))
    }

    /// All methods and properties, with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (usize, &Method)> {
        let entries = (0..=self.ancestors.len()).filter_map(|entry| Some((entry, self.entry(entry)?)));
        let methods = entries.flat_map(|(entry, interface)| {
            interface.methods.iter().enumerate().map(move |(at, method)| (entry << ENTRY | at, method))
        });
        methods.filter(|(_, method)| !method.name.is_empty())
    }

    /// All methods and properties.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.numbered().map(|(_, method)| method)
    }

    /// The method of that name, with its number.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &Method)> {
        // Nearly every name is that of a method of its own.
        let mut own = self.methods.iter().enumerate();
        let own = own.find(|(_, method)| method.name == name && !name.is_empty());
        own.or_else(|| self.numbered().find(|(_, method)| method.name == name))
    }

    /// Returns the place in `extends(..)` of the interface by which the method is reached, and its number there. A
    /// number that no method has gives a parent that does not exist.
    pub fn inherited(&self, number: usize) -> (usize, usize) {
        let entry = (number >> ENTRY).checked_sub(1);
        match entry.and_then(|entry| self.ancestors.get(entry).copied().flatten()) {
            Some(Ancestor { parent, entry, .. }) => {
                (parent.into(), usize::from(entry) << ENTRY | number & ((1 << ENTRY) - 1))
            }
            None => (usize::MAX, number),
        }
    }
}

const fn contains(names: &[&str], name: &str) -> bool {
    let mut at = 0;
    while at < names.len() {
        if is_same(names[at], name) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    // Paths differ at their ends.
    let mut at = one.len();
    while at > 0 {
        at -= 1;
        if one[at] != other[at] {
            return false;
        }
    }
    true
}

/// Stops the compiler with a message. It is put together here, since `const` knows no formatting.
#[track_caller]
const fn fail(words: &[&str]) -> ! {
    const MOST: usize = 400;
    let mut message = [0; MOST];
    let (mut len, mut at) = (0, 0);
    while at < words.len() {
        let word = words[at].as_bytes();
        let mut next = 0;
        while next < word.len() && len < MOST {
            message[len] = word[next];
            len += 1;
            next += 1;
        }
        at += 1;
    }
    match std::str::from_utf8(message.split_at(len).0) {
        Ok(message) => panic!("{}", message),
        // A name was cut in two.
        Err(_) => panic!("a name has two meanings in this interface"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leak<T>(value: T) -> &'static T {
        Box::leak(Box::new(value))
    }

    fn parents<const N: usize>(parents: [&'static Interface; N]) -> &'static [Parent] {
        leak(parents.map(|parent| Parent::new(parent, &[])))
    }

    fn with_method(name: &'static str) -> Interface {
        Interface::new(name, name, std::slice::from_ref(leak(Method::call(name, name, &[]))))
    }

    fn numbered_name(letter: char, number: usize) -> &'static str {
        String::leak(format!("{letter}{number}"))
    }

    /// An interface above `count` diamonds, each of which stands on the one before.
    fn diamonds(count: usize) -> &'static Interface {
        let mut top = leak(with_method("bottom"));
        for number in 0..count {
            let side = |letter| {
                let side = with_method(numbered_name(letter, number));
                leak(side.extending(leak(Ancestors::of(parents([top]))), &[]))
            };
            let sides = [side('l'), side('r')];
            let next = with_method(numbered_name('t', number));
            top = leak(next.extending(leak(Ancestors::of(parents(sides))), &[]));
        }
        top
    }

    #[test]
    fn what_many_ways_lead_to_is_in_the_table_once() {
        let top = diamonds(10);
        assert_eq!(top.methods().count(), 31);
        assert!(top.find("missing").is_none());
    }

    #[test]
    fn the_way_to_an_inherited_method_is_as_long_as_its_distance() {
        let mut at = diamonds(10);
        let mut number = at.find("bottom").unwrap().0;
        let mut steps = 0;
        while number >> ENTRY != 0 {
            assert_eq!(at.method(number).unwrap().name, "bottom");
            let (parent, next) = at.inherited(number);
            // The sides, in turn with the interfaces on them.
            at = at
                .ancestors
                .iter()
                .flatten()
                .find(|one| one.entry == 0 && usize::from(one.parent) == parent)
                .unwrap()
                .interface;
            number = next;
            steps += 1;
        }
        assert_eq!((at.name, steps), ("bottom", 20));
    }

    #[test]
    fn numbers_that_no_method_has_lead_nowhere() {
        let top = diamonds(1);
        for number in [1, 9 << ENTRY, 1 << ENTRY | 1, usize::MAX] {
            assert!(top.method(number).is_none());
        }
        assert_eq!(top.inherited(1).0, usize::MAX);
        assert_eq!(top.inherited(9 << ENTRY).0, usize::MAX);
    }
}
