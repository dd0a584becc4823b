//! The attribute macro of capnode.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod check;
mod expand;
mod model;
mod names;
mod options;
mod problems;
mod types;

use model::Interface;
use options::InterfaceOptions;
use problems::Problems;
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Item, ItemTrait};

/// Doc
#[proc_macro_attribute]
pub fn interface(
    options: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand_interface(options.into(), item.into()).into()
}

fn expand_interface(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut problems = Problems::default();
    let options = InterfaceOptions::read(options, &mut problems);
    let parsed = match syn::parse2::<ItemTrait>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = no_trait(&item).unwrap_or(error).into_compile_error();
            return quote!(#error #item);
        }
    };
    let mut interface = Interface::read(options, parsed, &mut problems);
    check::check(&mut interface, &mut problems);
    match problems.into_error() {
        None => expand::expand(&interface),
        Some(error) => {
            let error = error.into_compile_error();
            let stand_in = expand::stand_in(&interface);
            quote!(#error #stand_in)
        }
    }
}

/// The message for an item of another kind, if it is one.
fn no_trait(item: &TokenStream) -> Option<syn::Error> {
    let kind = match syn::parse2::<Item>(item.clone()).ok()? {
        Item::Struct(_) | Item::Enum(_) | Item::Union(_) => "a type: write the trait that it implements",
        Item::Impl(_) => "an `impl`, which is an ordinary one: it goes on the trait",
        Item::TraitAlias(_) => "an alias of traits: write `trait Both {}` with `extends(One, Other)`",
        _ => "this: write a trait, whose methods are `async fn`s with `&self`",
    };
    Some(syn::Error::new(Span::call_site(), format!("an interface is a trait, not {kind}")))
}
#[cfg(test)] mod tests;
