//! The expansion of an interface: the trait, its client, and the dispatcher behind the client.
//!
//! Everything emitted is found through the path of the library. Names that do not come from user code are found under
//! `__private` there, so that they mean the same in every crate and module.

mod client;
#[cfg(feature = "describe")]
mod describe;
mod dispatch;
mod fallback;
mod given;
mod span;
mod supertraits;
mod trait_;

use crate::model::{Interface, client_name};
use crate::types::bare;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, GenericParam, Meta, Path, Type, WhereClause, WherePredicate};

/// Returns the expansion of an interface that keeps every rule.
pub(crate) fn expand(interface: &Interface) -> TokenStream {
    Expansion::new(interface, false).emit()
}

/// Returns the expansion of an interface that breaks a rule. It has the same names and types as far as can be told, so
/// that the code around it compiles, and does nothing.
pub(crate) fn fallback(interface: &Interface) -> TokenStream {
    Expansion::new(interface, true).emit()
}

/// An interface with the parts that its expansion needs several times.
struct Expansion<'a> {
    interface: &'a Interface,
    is_fallback: bool,
    /// The generic parameters as an `impl` declares them, each with a comma.
    params: TokenStream,
    /// The trait with its generic arguments.
    trait_path: TokenStream,
    /// The client with its generic arguments.
    client_path: TokenStream,
    /// The clients of the traits extended.
    parents: Vec<Path>,
    /// The `#[cfg(..)]`s of the trait.
    cfgs: Vec<&'a Attribute>,
}

impl<'a> Expansion<'a> {
    fn new(interface: &'a Interface, is_fallback: bool) -> Self {
        let item = &interface.item;
        let (name, client) = (&item.ident, &interface.client);
        let (_, arguments, _) = item.generics.split_for_impl();
        let cfgs = item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));
        Self {
            is_fallback,
            params: params(interface),
            trait_path: quote!(#name #arguments),
            client_path: quote!(#client #arguments),
            parents: interface.options.extends.iter().map(client_of).collect(),
            cfgs: cfgs.collect(),
            interface,
        }
    }

    fn emit(&self) -> TokenStream {
        let krate = &self.interface.options.krate;
        let cfgs = &self.cfgs;
        let (item, methods) = (&self.interface.item, &self.interface.methods);
        let of_methods = methods.iter().flat_map(|method| &method.item.attrs);
        let attributes = || item.attrs.iter().chain(of_methods.clone());
        let deprecated = attributes().any(|attribute| attribute.path().is_ident("deprecated"));
        let deprecated = deprecated.then(|| quote!(deprecated,));
        // A dispatcher names all that the methods do.
        let lints = lints(attributes());
        let trait_ = self.trait_();
        let client = self.client();
        let client_impls = self.client_impls();
        let serving = self.serving();
        let supertraits = (!self.is_fallback).then(|| self.supertraits());
        #[cfg(feature = "describe")]
        let description = self.description();
        #[cfg(not(feature = "describe"))]
        let description = TokenStream::new();
        quote! {
            #trait_
            #client
            #(#cfgs)*
            #[allow(dead_code, unused_variables, #deprecated clippy::all, clippy::pedantic)]
            #(#lints)*
            const _: () = {
                use #krate::__private as __p;
                #client_impls
                #serving
                #description
                #supertraits
            };
        }
    }

    /// Returns `impl<parameters of the trait> head where ..`.
    fn impl_of(&self, head: TokenStream) -> TokenStream {
        self.impl_with(quote!(), quote!(), head)
    }

    /// Returns the head of the client's own `impl`.
    fn inherent(&self) -> TokenStream {
        self.impl_block(quote!(), quote!(), self.client_path.clone())
    }

    /// Returns such an `impl` with a lifetime before the parameters, and a type after them. Coverage and lints leave it
    /// out, as what a `derive` makes.
    fn impl_with(&self, lifetime: TokenStream, ty: TokenStream, head: TokenStream) -> TokenStream {
        let block = self.impl_block(lifetime, ty, head);
        quote!(#[automatically_derived] #block)
    }

    fn impl_block(&self, lifetime: TokenStream, ty: TokenStream, head: TokenStream) -> TokenStream {
        let params = &self.params;
        let clause = self.clause();
        let params = quote!(#lifetime #params #ty);
        let params = (!params.is_empty()).then(|| quote!(<#params>));
        quote!(impl #params #head #clause)
    }

    /// Returns the trait's `where` clause without predicates on the object, which a client is not.
    fn clause(&self) -> Option<WhereClause> {
        let mut clause = self.interface.item.generics.where_clause.clone()?;
        let predicates = clause.predicates.into_iter();
        clause.predicates = predicates.filter(|predicate| !names_self(predicate.to_token_stream())).collect();
        (!clause.predicates.is_empty()).then_some(clause)
    }

    /// Returns the predicates of the trait's `where` clause on the object together with other types, with `object` for
    /// the object. A predicate on the object alone is known of it, as that of a supertrait is.
    fn clause_of(&self, object: &Ident) -> Vec<TokenStream> {
        let predicates =
            self.interface.item.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
        let predicates =
            predicates.filter(|predicate| !is_of_object(predicate)).map(ToTokens::to_token_stream);
        predicates
            .filter(|tokens| names_self(tokens.clone()))
            .map(|tokens| with_self(tokens, object))
            .collect()
    }

    /// Returns the name of a type parameter of the macro. Unlike a local variable it could meet a parameter of the
    /// trait, where there are any.
    fn type_param(&self, name: &str) -> Ident {
        let name = if self.interface.is_generic() { format!("__{name}") } else { name.to_owned() };
        Ident::new(&name, Span::call_site())
    }

    /// Returns a client that holds `inner`.
    fn wrap(&self, inner: TokenStream) -> TokenStream {
        let marker = self.interface.is_generic().then(|| quote!(, __p::PhantomData));
        quote!(Self(#inner #marker))
    }

    /// Returns the content of a client for the reference `cap`.
    fn holding(&self, cap: TokenStream) -> TokenStream {
        match self.parents.first() {
            Some(parent) => quote!(<#parent as __p::Client>::from_cap(#cap)),
            None => cap,
        }
    }
}

/// The parameters of the trait with their bounds, and with the one that every travelling type needs.
fn params(interface: &Interface) -> TokenStream {
    let krate = &interface.options.krate;
    let params = interface.item.generics.params.iter().map(|param| match param {
        GenericParam::Type(param) => {
            let (name, bounds) = (&param.ident, param.bounds.iter());
            let wire = wire_bound(krate, name);
            quote!(#name: #(#bounds +)* #wire,)
        }
        GenericParam::Const(param) => {
            let (name, ty) = (&param.ident, &param.ty);
            quote!(const #name: #ty,)
        }
        GenericParam::Lifetime(param) => quote!(#param,),
    });
    params.collect()
}

/// `true` if a predicate is about the object: `Self: Bound`.
fn is_of_object(predicate: &WherePredicate) -> bool {
    match predicate {
        WherePredicate::Type(predicate) => {
            matches!(bare(&predicate.bounded_ty), Type::Path(path) if path.path.is_ident("Self"))
        }
        _ => false,
    }
}

fn names_self(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(name) => name == "Self",
        TokenTree::Group(group) => names_self(group.stream()),
        _ => false,
    })
}

/// Returns `tokens` with `object` for `Self`.
fn with_self(tokens: TokenStream, object: &Ident) -> TokenStream {
    let replaced = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(name) if name == "Self" => object.clone().into(),
        TokenTree::Group(group) => Group::new(group.delimiter(), with_self(group.stream(), object)).into(),
        token => token,
    });
    replaced.collect()
}

/// Returns the bound of a type parameter, at the place of the parameter.
fn wire_bound(krate: &Path, param: &Ident) -> TokenStream {
    let krate = span::path_at(krate, param.span());
    quote_spanned!(param.span()=> #krate::__private::Wire)
}

/// Returns the client of a trait, beside it: `other::Chat<T>` has `other::ChatClient<T>`.
fn client_of(parent: &Path) -> Path {
    let mut path = parent.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = client_name(&last.ident);
    }
    path
}

/// Returns the lints that user code allows, for the code that is made of it. An `expect` is met there, and may be met
/// nowhere else. Nothing else is allowed, since a lint that the crate forbids can't be.
fn lints<'a>(attributes: impl IntoIterator<Item = &'a Attribute>) -> impl Iterator<Item = TokenStream> {
    attributes.into_iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
            let lints = &list.tokens;
            Some(quote!(#[allow(#lints)]))
        }
        _ => None,
    })
}

/// Returns a local name of the macro. Its span keeps it apart from local names of user code. Its unusual name keeps it
/// apart from constants, statics and unit structs in scope: a pattern of their name would match their value and bind
/// nothing.
fn local(name: &str) -> Ident {
    Ident::new(&format!("{name}__"), Span::mixed_site())
}
