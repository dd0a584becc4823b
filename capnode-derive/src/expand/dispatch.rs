//! The table of an interface, and what runs a call by its place in the table.

use super::{Expansion, local, place};
use crate::model::{Method, Output, Pass};
use crate::names::plain;
use crate::types;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::Meta;

impl Expansion<'_> {
    /// What makes the client one for the runtime: its table, the half that all clients have, and
    /// the dispatcher. A stand-in with lifetimes can't be one.
    pub(super) fn serving(&self) -> Option<TokenStream> {
        if self.interface.item.generics.lifetimes().next().is_some() {
            return None;
        }
        let (client, value) = (&self.client_path, self.table_value());
        // As an item of its own it has one address, but there it can't know type parameters.
        let (item, table) = match self.has_generic_table() {
            true => (None, quote!(&#value)),
            false => (Some(quote!(static __TABLE: __p::Interface = #value;)), quote!(&__TABLE)),
        };
        let head = self.impl_of(quote!(__p::Client for #client));
        let (wrapped, serve) = (self.wrap(quote!(__c)), self.serve());
        Some(quote! {
            #item
            #head {
                const INTERFACE: &'static __p::Interface = #table;
                fn from_cap(__c: __p::Cap) -> Self { #wrapped }
            }
            #serve
        })
    }

    fn table_value(&self) -> TokenStream {
        let name = self.interface.name();
        let parents = self.parents.iter().map(|parent| quote!(<#parent as __p::Client>::INTERFACE));
        let methods = self.interface.methods.iter().map(entry);
        if self.is_stand_in {
            return quote!(__p::Interface::new(#name, &[], &[]));
        }
        quote!(__p::Interface::new(#name, &[#(#methods,)*], &[#(#parents),*]))
    }

    /// The place of a method in the table.
    pub(super) fn index_of(&self, method: &Method) -> Literal {
        let mut methods = self.interface.methods.iter();
        let index = methods.position(|other| std::ptr::eq(other, method));
        Literal::usize_unsuffixed(index.unwrap_or_default())
    }

    /// The dispatcher.
    fn serve(&self) -> TokenStream {
        let (client, trait_path) = (&self.client_path, &self.trait_path);
        let head = self.impl_with(quote!(), quote!(__T: #trait_path), quote!(__p::Serve<__T> for #client));
        let (index, request) = (local("m"), local("r"));
        let body = if self.is_stand_in {
            quote!(::core::unreachable!())
        } else {
            let arms = self.interface.methods.iter().map(|method| self.arm(method));
            let rest = self.inherited();
            quote!(match #index { #(#arms)* _ => #rest })
        };
        quote! {
            #head {
                fn dispatch(#index: usize, #request: __p::Delivery<__T>) -> __p::Response {
                    #body
                }
            }
        }
    }

    /// Decodes the arguments of a call and calls the method of the object.
    fn arm(&self, method: &Method) -> TokenStream {
        let (trait_path, name) = (&self.trait_path, method.ident());
        let (object, request) = (local("o"), local("r"));
        let cfgs = method.cfgs();
        let index = self.index_of(method);
        let names = method.arguments.iter().map(|argument| &argument.name);
        let types = owned_types(method);
        let values = method.arguments.iter().map(|argument| {
            let name = &argument.name;
            match argument.pass {
                Pass::Lend(_) => quote!(&#name),
                _ => quote!(#name),
            }
        });
        // For rustc this is the place of all that is wrong with the types of the method.
        let place = if types::surely_travels(method.output.ty()) {
            name.span()
        } else {
            place::of_type(method.output.ty())
        };
        let run = match method.output {
            Output::Value(_) => Ident::new("run", place),
            Output::Result(_) => Ident::new("run_result", place),
        };
        // By path, since `object.clone()` would clone the reference to the object, and since a
        // trait extended may have a method of the same name.
        quote! {
            #(#cfgs)*
            #index => #request.#run(
                |#object, (#(#names,)*) #types| async move {
                    <__T as #trait_path>::#name(&#object, #(#values),*).await
                }
            ),
        }
    }

    /// What runs a method of a trait extended, whose places come after those of this one.
    fn inherited(&self) -> TokenStream {
        let (index, request) = (local("m"), local("r"));
        if self.parents.is_empty() {
            return quote!(#request.no_such_method(),);
        }
        let mut before = {
            let own = Literal::usize_unsuffixed(self.interface.methods.len());
            quote!(#own)
        };
        let mut steps = TokenStream::new();
        for parent in &self.parents {
            // It wraps for a method of this trait that a `#[cfg(..)]` took out: nobody has that.
            steps.extend(quote! {
                let #index = #index.wrapping_sub(#before);
                if #index < <#parent as __p::Client>::INTERFACE.len() {
                    return <#parent as __p::Serve<__T>>::dispatch(#index, #request);
                }
            });
            before = quote!(<#parent as __p::Client>::INTERFACE.len());
        }
        quote!({ #steps #request.no_such_method() })
    }
}

/// The types that rustc can't find by itself: of what is decoded only to be lent.
fn owned_types(method: &Method) -> Option<TokenStream> {
    let mut any = false;
    let types = method.arguments.iter().map(|argument| match &argument.pass {
        Pass::Lend(ty) => {
            any = true;
            quote_spanned!(place::of_type(ty)=> __p::Owned<#ty>)
        }
        _ => quote!(_),
    });
    let types = quote!(: (#(#types,)*));
    any.then_some(types)
}

/// A line of the table. A method that a `#[cfg(..)]` takes out leaves its place.
fn entry(method: &Method) -> TokenStream {
    let name = &method.wire_name;
    let mut entry = if method.is_property() {
        quote!(__p::Method::property(#name))
    } else {
        let arguments = method.arguments.iter().map(|argument| plain(&argument.name));
        quote!(__p::Method::call(#name, &[#(#arguments),*]))
    };
    if method.options.no_cancel {
        entry.extend(quote!(.no_cancel()));
    }
    if method.options.blocking {
        entry.extend(quote!(.blocking()));
    }
    let conditions = method.cfgs().filter_map(|cfg| match &cfg.meta {
        Meta::List(list) => Some(&list.tokens),
        _ => None,
    });
    let conditions: Vec<_> = conditions.collect();
    match &conditions[..] {
        [] => entry,
        [condition] => quote! {
            #[cfg(#condition)] #entry,
            #[cfg(not(#condition))] __p::Method::absent()
        },
        several => quote! {
            #[cfg(all(#(#several),*))] #entry,
            #[cfg(not(all(#(#several),*)))] __p::Method::absent()
        },
    }
}
