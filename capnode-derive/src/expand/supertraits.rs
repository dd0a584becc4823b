//! The check that no supertrait is an interface that is not extended. The macro cannot see the kind of a trait: rustc
//! tells, by the method that it finds where the trait is a bound.

use super::{Expansion, is_of_object, span};
use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Path, TypeParamBound, WherePredicate};

impl Expansion<'_> {
    /// Returns for each written supertrait a trait above it that compiles if it is no interface.
    pub(super) fn supertraits(&self) -> TokenStream {
        let generics = &self.interface.item.generics;
        let written = self.interface.item.supertraits.iter();
        let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
        let of_object =
            predicates.filter(|predicate| is_of_object(predicate)).flat_map(|predicate| match predicate {
                WherePredicate::Type(predicate) => predicate.bounds.iter().collect(),
                _ => Vec::new(),
            });
        let traits = written.chain(of_object).filter_map(|bound| match bound {
            TypeParamBound::Trait(bound) => Some((bound, &bound.path)),
            _ => None,
        });
        let unclear = traits.filter(|(bound, path)| {
            bound.maybe.is_none() && !self.is_extended(path) && !names_what_self_has(path.to_token_stream())
        });
        let mut any = false;
        let checks = unclear.enumerate().map(|(index, (bound, path))| {
            any = true;
            let name = format_ident!("__Above{}", index);
            let params = (!self.params.is_empty()).then_some(&self.params).map(|params| quote!(<#params>));
            let clause = self.clause();
            let span = span::of_path(path);
            let check = quote_spanned!(span=> fn __check(&self) { __p::supertrait(self.__kind()) });
            quote!(trait #name #params: #bound #clause { #check })
        });
        let checks: TokenStream = checks.collect();
        let import = any.then(|| {
            quote!(
                use __p::Ordinary as _;
            )
        });
        quote!(#import #checks)
    }

    /// `true` if the supertrait is also in `extends(..)`, where it may be in both.
    fn is_extended(&self, path: &Path) -> bool {
        let written = |path: &Path| path.to_token_stream().to_string();
        self.interface.options.extends.iter().any(|parent| written(parent) == written(path))
    }
}

/// `true` if the tokens name a type of the trait itself, such as `Self::Item`, which the client cannot know.
fn names_what_self_has(tokens: TokenStream) -> bool {
    let mut after_self = false;
    tokens.into_iter().any(|token| {
        let text = token.to_string();
        let is_inside = after_self && (text == ":" || text == "as");
        after_self = text == "Self";
        is_inside || matches!(token, TokenTree::Group(group) if names_what_self_has(group.stream()))
    })
}
