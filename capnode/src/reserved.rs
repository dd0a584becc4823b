//! Names that JavaScript gives a meaning of its own.

use crate::message::Key;

macro_rules! reserved {
    ($count:literal: $($name:literal)*) => {
        /// Names that no method, step of a path or class of an error may have, on either side. Every JavaScript object
        /// has those of `Object.prototype`, and JavaScript calls `then` and `toJSON` of values by itself. As keys in
        /// data they are names like any other.
        #[cfg(test)]
        pub(crate) const RESERVED: [&str; $count] = [$($name),*];

        /// `true` if JavaScript gives the name a meaning of its own, so that no object has a member of that name: see
        /// `RESERVED`.
        pub(crate) fn is_reserved(name: &str) -> bool {
            matches!(name, $($name)|*)
        }

        /// Returns the first position of such a name in a path.
        pub(crate) fn find_reserved(path: &[Key]) -> Option<usize> {
            path.iter().position(|key| matches!(key, Key::Name(name) if matches!(name.as_str(), $($name)|*)))
        }
    };
}

reserved! {
    15:
    "__defineGetter__"
    "__defineSetter__"
    "__lookupGetter__"
    "__lookupSetter__"
    "__proto__"
    "constructor"
    "hasOwnProperty"
    "isPrototypeOf"
    "propertyIsEnumerable"
    "prototype"
    "then"
    "toJSON"
    "toLocaleString"
    "toString"
    "valueOf"
}

/// The macro refuses more names: those that stubs in JavaScript use themselves.
#[cfg(test)]
#[test]
fn the_macro_refuses_all_of_them() {
    let refused = include_str!("../../capnode-derive/src/check/names.rs");
    let list = refused.split("const RESERVED").nth(1).and_then(|rest| rest.split("];").next());
    let list = list.expect("the macro has a list");
    for name in RESERVED {
        assert!(
            list.contains(&format!("    \"{name}\",\n")),
            "{name} is not in `check/names.rs` of capnode-derive"
        );
    }
}

#[cfg(test)]
#[test]
fn the_rules_of_names_know_all_of_them() {
    let rules = include_str!("../tests/semantics/names.rs");
    for name in RESERVED {
        assert!(rules.contains(&format!("    \"{name}\",\n")), "{name} is not in `tests/semantics/names.rs`");
    }
}
