//! Rules about names on the wire.

use crate::errors::Errors;
use crate::model::Method;
use proc_macro2::Span;
use quote::quote;
use syn::{Attribute, Meta};

/// Names that a JavaScript peer can't call: its stubs use them, or `Object.prototype` has them.
const RESERVED: [&str; 20] = [
    "then",
    "catch",
    "finally",
    "map",
    "dup",
    "onRpcBroken",
    "constructor",
    "prototype",
    "toString",
    "toJSON",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

pub(super) fn check_wire_name(method: &Method, errors: &mut Errors) {
    let wire_name = &method.wire_name;
    let message = if wire_name.is_empty() {
        "the name on the wire is empty: write `#[capnode(name = \"..\")]` with one".to_owned()
    } else if RESERVED.contains(&wire_name.as_str()) {
        format!(
            "`{wire_name}` means something else to JavaScript, so that a method can't have this name \
             on the wire: give it another with `#[capnode(name = \"..\")]`"
        )
    } else {
        return;
    };
    errors.at_span(place(method), message);
}

pub(super) fn check_all_differ(methods: &[Method], errors: &mut Errors) {
    for (index, method) in methods.iter().enumerate() {
        let (name, wire_name) = (method.ident(), &method.wire_name);
        let earlier = methods.iter().take(index);
        for earlier in earlier.filter(|earlier| !never_together(earlier, method)) {
            if earlier.ident() == name {
                // rustc says so if there are two of them after all.
                if may_differ(earlier, method) {
                    continue;
                }
                errors.at(name, format!("another method is called `{name}` too: rename one"));
                break;
            }
            if earlier.wire_name == *wire_name && !wire_name.is_empty() {
                let earlier = earlier.ident();
                let message = format!(
                    "`{earlier}` and `{name}` are both `{wire_name}` on the wire: give one another name \
                     with `#[capnode(name = \"..\")]`"
                );
                errors.at_span(place(method), message);
                break;
            }
        }
    }
}

/// `true` if one method is under `#[cfg(x)]` and the other under `#[cfg(not(x))]`.
fn never_together(one: &Method, other: &Method) -> bool {
    one.cfgs().any(|one| other.cfgs().any(|other| is_opposite(one, other)))
}

/// `true` if both methods have conditions, and not the same ones.
fn may_differ(one: &Method, other: &Method) -> bool {
    let conditions = |method: &Method| method.cfgs().map(|cfg| quote!(#cfg).to_string()).collect::<Vec<_>>();
    let (one, other) = (conditions(one), conditions(other));
    !one.is_empty() && !other.is_empty() && one != other
}

fn is_opposite(one: &Attribute, other: &Attribute) -> bool {
    let (Meta::List(one), Meta::List(other)) = (&one.meta, &other.meta) else { return false };
    let (one, other) = (&one.tokens, &other.tokens);
    let is_not =
        |negated: &_, condition: &_| quote!(#negated).to_string() == quote!(not(#condition)).to_string();
    is_not(one, other) || is_not(other, one)
}

/// The place where a wire name is decided.
fn place(method: &Method) -> Span {
    match &method.options.name {
        Some(name) => name.span(),
        None => method.ident().span(),
    }
}
