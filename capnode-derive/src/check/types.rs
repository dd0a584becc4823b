//! Rules about the types of arguments and results.

use crate::errors::Errors;
use crate::types::{InvalidType, InvalidTypeKind, MOST_FUNC_ARGUMENTS, bare, is_stream_end};
use quote::ToTokens;
use syn::{Type, TypeReference};

pub(super) fn check_argument(ty: &Type, may_use_self: bool, errors: &mut Errors) {
    match bare(ty) {
        Type::Reference(reference) => check_borrowed(reference, may_use_self, errors),
        Type::Slice(slice) => {
            let item = text(&slice.elem);
            errors.at(ty, format!("an argument can't be a bare slice: write `&[{item}]` or `Vec<{item}>`"));
        }
        Type::Path(path) if path.path.is_ident("str") => {
            errors.at(ty, "an argument can't be a bare `str`: write `&str` or `String`");
        }
        _ => {
            if let Some(flaw) = find(ty, may_use_self) {
                errors.at(&flaw.at, of_argument(&flaw));
            }
        }
    }
}

fn check_borrowed(ty: &TypeReference, may_use_self: bool, errors: &mut Errors) {
    let owned = owned(&ty.elem);
    if is_stream_end(&ty.elem) {
        let message = format!("a stream has one holder at a time, and is not lent: take `{owned}`");
        return errors.at(ty, message);
    }
    if ty.mutability.is_some() {
        let message =
            format!("changes to an argument don't travel back: take `{owned}` and return what becomes of it");
        return errors.at(ty, message);
    }
    if ty.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") {
        let lent = text(&ty.elem);
        return errors
            .at(ty, format!("an argument is borrowed only during the call: write `&{lent}` or `{owned}`"));
    }
    if let Some(flaw) = find(&ty.elem, may_use_self) {
        // `&dyn T` and `&&T` are wrong as a whole.
        let whole = flaw.at.to_string() == ty.elem.to_token_stream().to_string();
        let at = if whole { ty.to_token_stream() } else { flaw.at.clone() };
        errors.at(at, of_argument(&flaw));
    }
}

pub(super) fn check_result(ty: &Type, may_use_self: bool, errors: &mut Errors) {
    let Some(flaw) = find(ty, may_use_self) else { return };
    let message = match flaw.kind {
        InvalidTypeKind::Reference | InvalidTypeKind::MutReference | InvalidTypeKind::Lifetime
            if !flaw.in_func =>
        {
            let instead = match syn::parse2(flaw.at.clone()) {
                Ok(Type::Reference(reference)) => format!("`{}`", owned(&reference.elem)),
                _ => "a type that owns it".to_owned(),
            };
            format!("a result can't borrow from the object, which may be remote: return {instead}")
        }
        _ => of_argument(&flaw),
    };
    errors.at(&flaw.at, message);
}

fn find(ty: &Type, may_use_self: bool) -> Option<InvalidType> {
    InvalidType::find(ty).filter(|flaw| !(may_use_self && flaw.kind == InvalidTypeKind::Implementor))
}

fn of_argument(flaw: &InvalidType) -> String {
    let message = match flaw.kind {
        InvalidTypeKind::Reference | InvalidTypeKind::Lifetime if flaw.in_func => {
            "a `Func` takes and returns owned values: write `Func<fn(String)>` for \
             `Func<fn(&str)>`"
        }
        InvalidTypeKind::Reference | InvalidTypeKind::Lifetime => {
            "only a whole argument can be a borrow, as in `&str`, `&[T]` or `&T`: own what is inside, as \
             in `Vec<String>`"
        }
        InvalidTypeKind::MutReference => "changes don't travel back: use an owned type here",
        InvalidTypeKind::Dyn => {
            "a trait object can't be sent: write the client of an interface, as in `ChatClient`, or a \
             type that serializes"
        }
        InvalidTypeKind::Impl => {
            "the other side must know this type: write a concrete one, or `Func<fn(..) -> ..>` to take \
             a closure"
        }
        InvalidTypeKind::Stream => {
            "a stream is sent as its reader: write `Reader<T>`, or `Reader<Bytes>` for an `AsyncRead`; the client \
             takes the stream itself in its place"
        }
        InvalidTypeKind::BareFn => "a function pointer can't be sent: write `Func<fn(..) -> ..>`",
        InvalidTypeKind::Implementor => {
            "`Self` is unknown to the callers: write the client of the interface, or a \
             concrete type"
        }
        InvalidTypeKind::FuncOfSpecialFn => "a `Func` is of a plain `fn` type: write `Func<fn(..) -> ..>`",
        InvalidTypeKind::FuncOfTooMany => {
            return format!(
                "a `Func` takes at most {MOST_FUNC_ARGUMENTS} arguments: put some of them in a struct"
            );
        }
    };
    message.to_owned()
}

/// Returns the owned form of the type that `&T` lends.
fn owned(lent: &Type) -> String {
    match bare(lent) {
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        other => text(other),
    }
}

/// Returns a type as a person writes it: tokens print with spaces between all of them.
pub(super) fn text(ty: impl ToTokens) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (spaced, tight) in [
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        ("& ", "&"),
        (" :: ", "::"),
        (":: ", "::"),
        ("[ ", "["),
        (" ]", "]"),
        ("( ", "("),
        (" )", ")"),
        (" ;", ";"),
    ] {
        text = text.replace(spaced, tight);
    }
    text
}
