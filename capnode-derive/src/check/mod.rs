//! The rules of an interface. Each message names the mistake and what to write instead.

mod method;
mod names;
mod types;

use self::types::text;
use crate::errors::Errors;
use crate::model::Interface;
use crate::names::plain;
use syn::{GenericParam, PathArguments, TraitItem};

/// Reports every rule that `interface` breaks, and notes which methods have a sound signature.
pub(crate) fn check(interface: &mut Interface, errors: &mut Errors) {
    check_trait(interface, errors);
    check_parents(interface, errors);
    // Where an associated type is reported, its uses are not: they are the same mistake.
    let may_use_self = !interface.item.items.is_empty();
    for method in &mut interface.methods {
        let before = errors.len();
        method::check_signature(method, may_use_self, errors);
        method.is_valid = errors.len() == before;
        method::check_attributes(method, errors);
        names::check_wire_name(method, errors);
    }
    names::check_all_differ(&interface.methods, errors);
}

/// Reports parents that are named twice, and takes them out.
fn check_parents(interface: &mut Interface, errors: &mut Errors) {
    let own = plain(&interface.item.ident);
    let mut seen = Vec::<String>::new();
    interface.options.extends.retain(|parent| {
        let mut name = parent.clone();
        if let Some(last) = name.segments.last_mut() {
            last.arguments = PathArguments::None;
        }
        let name = text(name);
        if name == own {
            errors.at(parent, "an interface does not extend itself: leave it out");
            return false;
        }
        if seen.contains(&name) {
            let message = format!(
                "`{name}` is extended twice, also if its type parameters differ, since its methods would have two \
                 meanings under one name: keep one, and hand the object out as `{name}Client` for the other"
            );
            errors.at(parent, message);
            return false;
        }
        seen.push(name);
        true
    });
}

fn check_trait(interface: &Interface, errors: &mut Errors) {
    let item = &interface.item;
    if let Some(token) = &item.unsafety {
        errors.at(
            token,
            "an interface can't be `unsafe`, since a remote caller can't promise anything: leave it out",
        );
    }
    if let Some(token) = &item.modifiers.auto_token {
        errors.at(
            token,
            "an interface can't be an `auto` trait, since an object implements its methods: leave it out",
        );
    }
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("capnode")) {
        errors.at(
            attribute,
            "`#[capnode(..)]` is for methods: write the options of the trait in \
             `#[capnode::interface(..)]`",
        );
    }
    for param in &item.generics.params {
        if let GenericParam::Lifetime(param) = param {
            errors.at(
                param,
                "an interface has no lifetime parameters, since its objects outlive every borrow: \
                 leave it out and own what is borrowed",
            );
        }
    }
    for member in &item.items {
        let message = match member {
            TraitItem::Type(_) => {
                "an interface has no associated types, since a client stands for any object: write a \
                 type parameter, as in `trait Store<Item>`"
            }
            TraitItem::Const(_) => {
                "an interface has no constants, since a client stands for any object: write a method \
                 that returns the value"
            }
            _ => "an interface has methods only: write them out here",
        };
        errors.at(member, message);
    }
}
