//! Rules about one method, but for those about types and names.

use super::types;
use crate::errors::Errors;
use crate::model::{Argument, Method};
use crate::names::plain;
use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{FnArg, GenericParam, Meta, Pat, Receiver, ReceiverKind, Safety};

/// The most arguments a method takes.
const MOST_ARGUMENTS: usize = 12;

pub(super) fn check_signature(method: &Method, may_use_self: bool, errors: &mut Errors) {
    check_qualifiers(method, errors);
    check_receiver(method, errors);
    check_generics(method, errors);
    check_arguments(method, errors);
    for argument in &method.arguments {
        check_argument(argument, errors);
        types::check_argument(&argument.written.ty, may_use_self, errors);
    }
    types::check_result(method.output.ty(), may_use_self, errors);
}

fn check_qualifiers(method: &Method, errors: &mut Errors) {
    let signature = &method.item.sig;
    let (token, name) = (&signature.fn_token, &signature.ident);
    if let Some(token) = &signature.constness {
        let message =
            format!("a method can't be `const`, since its object may be remote: write `async fn {name}`");
        errors.at(token, message);
    } else if signature.asyncness.is_none() {
        let message =
            format!("a method must be `async`, since its object may be remote: write `async fn {name}`");
        errors.at(quote!(#token #name), message);
    }
    if let Safety::Unsafe(token) = &signature.safety {
        let message = format!(
            "a method can't be `unsafe`, since a remote caller can't promise anything: write `async fn {name}`"
        );
        errors.at(token, message);
    }
    if let Some(abi) = &signature.abi {
        let message =
            format!("a method can't be `extern`, since nothing links to it: write `async fn {name}`");
        errors.at(abi, message);
    }
}

fn check_receiver(method: &Method, errors: &mut Errors) {
    let name = method.ident();
    let Some(FnArg::Receiver(receiver)) = method.item.sig.inputs.first() else {
        let message = format!("a method is called on an object: write `async fn {name}(&self, ..)`");
        return errors.at(name, message);
    };
    let has_lifetime = method.item.sig.generics.lifetimes().next().is_some();
    match of_receiver(receiver) {
        // Its declaration is reported.
        Some(_) if has_lifetime && is_shared(receiver) => {}
        Some(message) => errors.at(receiver, message),
        None => {}
    }
}

fn of_receiver(receiver: &Receiver) -> Option<&'static str> {
    match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => None,
        ReceiverKind::Reference(_, _, Some(_)) => Some(
            "an object is shared by all who hold a reference to it: write `&self`, and keep what \
             changes in a `Mutex` or an atomic",
        ),
        ReceiverKind::Value => {
            Some("a method can't consume the object, which others may hold too: write `&self`")
        }
        _ => Some("a method borrows its object: write `&self`"),
    }
}

fn is_shared(receiver: &Receiver) -> bool {
    matches!(receiver.kind, ReceiverKind::Reference(_, _, None))
}

fn check_generics(method: &Method, errors: &mut Errors) {
    let generics = &method.item.sig.generics;
    let is_lifetime = |param: &GenericParam| matches!(param, GenericParam::Lifetime(_));
    if let Some(param) = generics.params.iter().find(|param| !is_lifetime(param)) {
        errors.at(
            param,
            "a method has no type parameters, since the other side must know every type: write a \
             concrete type, or a type parameter of the trait",
        );
    } else if let Some(clause) = &generics.where_clause {
        errors.at(
            clause,
            "a method has no `where` clause, since a client offers all methods: write it on the trait",
        );
    } else if let Some(param) = generics.params.first() {
        errors.at(
            param,
            "a method has no lifetime parameters, since a borrow lasts for the call only: leave it \
             out, as in `text: &str`",
        );
    }
}

fn check_arguments(method: &Method, errors: &mut Errors) {
    let names = method.arguments.iter().map(written_name);
    for (index, argument) in method.arguments.iter().enumerate() {
        let name = written_name(argument);
        if name.is_some() && names.clone().take(index).any(|earlier| earlier == name) {
            let pat = &argument.written.pat;
            errors.at(pat, "another argument has this name too: rename one");
        }
    }
    if let Some(variadic) = &method.item.sig.variadic {
        errors.at(variadic, "a method has a fixed number of arguments: take a `Vec<T>`");
    }
    if let Some(extra) = method.arguments.get(MOST_ARGUMENTS) {
        let message =
            format!("a method takes at most {MOST_ARGUMENTS} arguments: put some of them in a struct");
        errors.at(&extra.written, message);
    }
    if let Some(argument) = method.arguments.first().filter(|_| method.is_property()) {
        errors.at(
            &argument.written,
            "a property is read without arguments: leave them out, or leave out `property`",
        );
    }
}

fn written_name(argument: &Argument) -> Option<&syn::Ident> {
    match &*argument.written.pat {
        Pat::Ident(pat) => Some(&pat.ident),
        _ => None,
    }
}

fn check_argument(argument: &Argument, errors: &mut Errors) {
    for attribute in &argument.written.attrs {
        errors.at(
            attribute,
            "an argument has no attributes, since its place in the call is fixed: leave it out",
        );
    }
    match &*argument.written.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            if let Some(token) = &pat.mutability {
                let name = &pat.ident;
                let message = format!(
                    "an argument is a plain name here: write `{name}`, and `mut {name}` in the `impl`"
                );
                errors.at(token, message);
            }
        }
        Pat::Wild(pat) => {
            errors.at(pat, "an argument has a name, which its callers read: write one, and `_` in the `impl`")
        }
        pat => errors.at(pat, "an argument is a plain name here: write one, and the pattern in the `impl`"),
    }
}

pub(super) fn check_attributes(method: &Method, errors: &mut Errors) {
    let decides = |attribute: &&syn::Attribute| match &attribute.meta {
        Meta::List(list) => mentions(list.tokens.clone(), &["cfg", "capnode"]),
        _ => false,
    };
    for attribute in method.attributes("cfg_attr").filter(decides) {
        errors.at(
            attribute,
            "what a `cfg_attr` comes to can't be known here: write the method twice, under \
             `#[cfg(..)]` and under `#[cfg(not(..))]`",
        );
    }
}

fn mentions(tokens: TokenStream, words: &[&str]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => words.contains(&plain(&ident).as_str()),
        TokenTree::Group(group) => mentions(group.stream(), words),
        _ => false,
    })
}
