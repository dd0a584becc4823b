//! The options in the parentheses of `#[capnode::interface(..)]` and of `#[capnode(..)]`.

use crate::errors::Errors;
use crate::names::Case;
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use std::fmt::Display;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, LitStr, Meta, Path, PathArguments, Result, Token, parse_quote};

/// The options of a trait.
pub(crate) struct InterfaceOptions {
    /// The path of the library, by which everything emitted is found.
    pub krate: Path,
    pub name: Option<LitStr>,
    pub rename_all: Case,
    /// The traits that this one extends.
    pub extends: Vec<Path>,
}

impl InterfaceOptions {
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options =
            Self { krate: parse_quote!(::capnode), name: None, rename_all: Case::Camel, extends: Vec::new() };
        let known = "`rename_all = \"..\"`, `name = \"..\"`, `extends(..)`, `crate = path`";
        each_option(tokens, errors, |key, input| {
            match key.to_string().as_str() {
                "rename_all" => options.rename_all = case(string(key, input)?)?,
                "name" => options.name = Some(string(key, input)?),
                "extends" => options.extends = parents(key, input)?,
                "crate" => options.krate = krate(key, input)?,
                _ => return Err(unknown(key, "of an interface", known)),
            }
            Ok(())
        });
        options
    }
}

/// The options of a method.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub name: Option<LitStr>,
    pub property: Option<Span>,
    pub no_cancel: bool,
    pub blocking: bool,
    pub read: bool,
    pub idempotent: bool,
    pub rederive: Option<Span>,
}

impl MethodOptions {
    /// Takes every `#[capnode(..)]` out of `attributes` and reads it.
    pub(crate) fn take(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let mut tokens = TokenStream::new();
        attributes.retain(|attribute| {
            if !attribute.path().is_ident("capnode") {
                return true;
            }
            match &attribute.meta {
                // Several attributes read like one, so that an option repeated is noticed.
                Meta::List(list) if !list.tokens.is_empty() => {
                    let list = &list.tokens;
                    let end =
                        list.clone().into_iter().last().map_or_else(Span::call_site, |last| last.span());
                    // An option that ends too early is reported there.
                    tokens.extend(quote::quote_spanned!(end=> #list,));
                }
                _ => errors.at(
                    attribute,
                    "this attribute has no options: write `#[capnode(property)]` or leave it out",
                ),
            }
            false
        });
        let known = "`name = \"..\"`, `property`, `no_cancel`, `blocking`, `read`, `idempotent`, `rederive`";
        each_option(tokens, errors, |key, input| {
            match key.to_string().as_str() {
                "name" => options.name = Some(string(key, input)?),
                "property" => options.property = Some(key.span()),
                "no_cancel" => options.no_cancel = true,
                "blocking" => options.blocking = true,
                "read" => options.read = true,
                "idempotent" => options.idempotent = true,
                "rederive" => options.rederive = Some(key.span()),
                _ => return Err(unknown(key, "of a method", known)),
            }
            Ok(())
        });
        options
    }
}

/// Calls `take` for each option, and goes on with the next after one that is wrong.
fn each_option(
    tokens: TokenStream,
    errors: &mut Errors,
    mut take: impl FnMut(&Ident, ParseStream) -> Result<()>,
) {
    let mut seen = Vec::<Ident>::new();
    let read = |input: ParseStream| {
        while !input.is_empty() {
            if let Err(error) = one_option(input, &mut seen, &mut take) {
                errors.push(error);
                skip_to_comma(input)?;
            }
            // Only an empty attribute among several leaves a second comma behind.
            while input.parse::<Option<Token![,]>>()?.is_some() {}
        }
        Ok(())
    };
    if let Err(error) = read.parse2(tokens) {
        errors.push(error);
    }
}

fn one_option(
    input: ParseStream,
    seen: &mut Vec<Ident>,
    take: &mut impl FnMut(&Ident, ParseStream) -> Result<()>,
) -> Result<()> {
    // By `parse_any`, since `crate` is a keyword.
    let key = input.call(Ident::parse_any)?;
    if seen.contains(&key) {
        return Err(syn::Error::new(key.span(), format!("`{key}` is given twice: keep one")));
    }
    take(&key, input)?;
    if !input.is_empty() && !input.peek(Token![,]) {
        let message = format!("unexpected text after `{key}`: write a comma before the next option");
        return Err(input.error(message));
    }
    seen.push(key);
    Ok(())
}

fn skip_to_comma(input: ParseStream) -> Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

fn unknown(key: &Ident, whose: &str, known: impl Display) -> syn::Error {
    let message = format!("there is no option `{key}` {whose}; there are {known}");
    syn::Error::new(key.span(), message)
}

fn string(key: &Ident, input: ParseStream) -> Result<LitStr> {
    let text = input.parse::<Token![=]>().and_then(|_| input.parse());
    text.map_err(|error| {
        syn::Error::new(error.span(), format!("`{key}` takes a string: write `{key} = \"..\"`"))
    })
}

fn case(spelling: LitStr) -> Result<Case> {
    Case::from_spelling(&spelling.value()).ok_or_else(|| {
        let known = Case::ALL.map(|(spelling, _)| format!("\"{spelling}\"")).join(", ");
        syn::Error::new(spelling.span(), format!("unknown convention for names; there are {known}"))
    })
}

/// `crate = path`, or `crate = "path"` as serde has it.
fn krate(key: &Ident, input: ParseStream) -> Result<Path> {
    let path = input.parse::<Token![=]>().and_then(|_| match input.parse::<Option<LitStr>>()? {
        Some(path) => path.parse_with(Path::parse_mod_style),
        None => input.call(Path::parse_mod_style),
    });
    path.map_err(|error| {
        let message = format!("`{key}` takes the path of capnode: write `{key} = ::capnode`");
        syn::Error::new(error.span(), message)
    })
}

fn parents(key: &Ident, input: ParseStream) -> Result<Vec<Path>> {
    let message = || format!("`{key}` takes the traits extended: write `{key}(Parent, Other<u32>)`");
    if !input.peek(syn::token::Paren) {
        return Err(syn::Error::new(key.span(), message()));
    }
    let content;
    syn::parenthesized!(content in input);
    let parents = content.call(Punctuated::<Path, Token![,]>::parse_terminated);
    let parents = parents.map_err(|error| {
        // Otherwise syn would report unread tokens as a second problem.
        let _ = content.parse::<TokenStream>();
        syn::Error::new(error.span(), message())
    })?;
    let called = |path: &&Path| {
        let last = path.segments.last();
        last.is_some_and(|last| matches!(last.arguments, PathArguments::Parenthesized(_)))
    };
    match parents.iter().find(called) {
        Some(path) => Err(syn::Error::new_spanned(path, message())),
        None => Ok(parents.into_iter().collect()),
    }
}
