//! The places for errors about emitted code: user code, as if the user had written the emitted code there. Then rustc
//! finds the argument to blame, and speaks of no macro.

use crate::types::bare;
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Path, Type};

/// Returns the place of the part of a type that says most: of its name, or of its first token.
pub(super) fn of_type(ty: &Type) -> Span {
    match bare(ty) {
        Type::Reference(reference) => of_type(&reference.elem),
        Type::Path(path) => match path.path.segments.last() {
            Some(last) => last.ident.span(),
            None => first(ty),
        },
        ty => first(ty),
    }
}

fn first(tokens: &impl ToTokens) -> Span {
    let first = tokens.to_token_stream().into_iter().next();
    first.map_or_else(Span::call_site, |token| token.span())
}

/// Returns the alias `name` of the library for a bound on a type. It is as long as the type, so that rustc points at
/// the type, with the same message wherever it is written.
pub(super) fn alias(name: &str, ty: &Type) -> TokenStream {
    let last = ty.to_token_stream().into_iter().last();
    let (first, last) = (first(ty), last.map_or_else(Span::call_site, |token| token.span()));
    let name = Ident::new(name, first);
    let (open, close) = (quote_spanned!(first=> __p::#name<), quote_spanned!(last=> >));
    quote!(#open #ty #close)
}

/// Returns the place of the name at the end of a path.
pub(super) fn of_path(path: &Path) -> Span {
    path.segments.last().map_or_else(Span::call_site, |last| last.ident.span())
}

/// Returns `name` as if it stood at `span`.
pub(super) fn name_at(name: &Ident, span: Span) -> Ident {
    let mut name = name.clone();
    name.set_span(span.resolved_at(name.span()));
    name
}

/// Returns `path` as if it stood at `span`.
pub(super) fn path_at(path: &Path, span: Span) -> TokenStream {
    let tokens = path.to_token_stream().into_iter();
    let moved = tokens.map(|mut token: TokenTree| {
        token.set_span(span.resolved_at(token.span()));
        token
    });
    moved.collect()
}
