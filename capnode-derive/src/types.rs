//! Properties of a written type: the way it travels, and the parts of it that cannot.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{GenericArgument, Path, PathArguments, PathSegment, ReturnType, Type, TypeFnPtr, TypeParamBound};

/// The most arguments a `Func` takes.
pub(crate) const MOST_FUNC_ARGUMENTS: usize = 6;

/// A part of a type that cannot be in an interface.
pub(crate) struct InvalidType {
    /// The part, for the span of the message.
    pub at: TokenStream,
    pub kind: InvalidTypeKind,
    /// `true` if it is in the signature of a `Func`.
    pub in_func: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidTypeKind {
    Reference,
    MutReference,
    Lifetime,
    Dyn,
    Impl,
    /// `impl Stream`, `impl AsyncRead`, or the receiving end of a channel.
    Stream,
    /// A function pointer outside of a `Func`.
    BareFn,
    /// `Self`, or an associated type of it.
    Implementor,
    /// `unsafe`, `extern` or variadic.
    FuncOfSpecialFn,
    FuncOfTooMany,
}

impl InvalidType {
    fn new(at: &impl ToTokens, kind: InvalidTypeKind) -> Option<Self> {
        Some(Self { at: at.to_token_stream(), kind, in_func: false })
    }

    /// Returns the first flaw of a type that travels by value.
    pub(crate) fn find(ty: &Type) -> Option<Self> {
        match ty {
            Type::Group(group) => Self::find(&group.elem),
            Type::Paren(paren) => Self::find(&paren.elem),
            Type::Array(array) => Self::find(&array.elem),
            Type::Slice(slice) => Self::find(&slice.elem),
            Type::Tuple(tuple) => tuple.elems.iter().find_map(Self::find),
            Type::Reference(reference) if reference.mutability.is_some() => {
                Self::new(ty, InvalidTypeKind::MutReference)
            }
            Type::Reference(_) => Self::new(ty, InvalidTypeKind::Reference),
            Type::TraitObject(_) => Self::new(ty, InvalidTypeKind::Dyn),
            Type::ImplTrait(bounds) if bounds.bounds.iter().any(is_stream) => {
                Self::new(ty, InvalidTypeKind::Stream)
            }
            Type::ImplTrait(_) => Self::new(ty, InvalidTypeKind::Impl),
            Type::FnPtr(_) => Self::new(ty, InvalidTypeKind::BareFn),
            Type::Path(path) => match &path.qself {
                Some(qself) => Self::find(&qself.ty),
                None => Self::find_in_path(&path.path),
            },
            // rustc reports `_` well enough, and of raw pointers that they don't serialize.
            _ => None,
        }
    }

    fn find_in_path(path: &Path) -> Option<Self> {
        if path.segments.first().is_some_and(|first| first.ident == "Self") {
            return Self::new(path, InvalidTypeKind::Implementor);
        }
        if let Some(signature) = func_parameter(path) {
            return Self::find_in_func(signature);
        }
        if is_channel(path) {
            return Self::new(path, InvalidTypeKind::Stream);
        }
        path.segments.iter().find_map(|segment| {
            generic_arguments(segment).find_map(|argument| match argument {
                GenericArgument::Lifetime(lifetime) if lifetime.ident != "static" => {
                    Self::new(lifetime, InvalidTypeKind::Lifetime)
                }
                // It may be `Func` by another name. If not, rustc says that it does not serialize.
                GenericArgument::Type(ty) if matches!(bare(ty), Type::FnPtr(_)) && !is_container(segment) => {
                    None
                }
                GenericArgument::Type(ty) => Self::find(ty),
                _ => None,
            })
        })
    }

    fn find_in_func(signature: &TypeFnPtr) -> Option<Self> {
        if signature.unsafety.is_some() || signature.abi.is_some() || signature.variadic.is_some() {
            return Self::new(signature, InvalidTypeKind::FuncOfSpecialFn);
        }
        if let Some(extra) = signature.inputs.iter().nth(MOST_FUNC_ARGUMENTS) {
            return Self::new(&extra.ty, InvalidTypeKind::FuncOfTooMany);
        }
        let inputs = signature.inputs.iter().map(|input| &input.ty);
        let flaw = inputs.chain(result_of(signature)).find_map(Self::find);
        flaw.map(|flaw| Self { in_func: true, ..flaw })
    }
}

/// `true` if a bound is written `Stream<..>` or `AsyncRead`.
fn is_stream(bound: &TypeParamBound) -> bool {
    let TypeParamBound::Trait(bound) = bound else { return false };
    bound.path.segments.last().is_some_and(|last| last.ident == "Stream" || last.ident == "AsyncRead")
}

/// `true` if a type is written as the receiving end of a channel, as in `mpsc::Receiver<..>`: any other `Receiver` may be
/// a type that serializes.
fn is_channel(path: &Path) -> bool {
    let mut last = path.segments.iter().rev();
    let receives =
        last.next().is_some_and(|last| last.ident == "Receiver" || last.ident == "UnboundedReceiver");
    receives && last.next().is_some_and(|module| module.ident == "mpsc")
}

/// `ty` without parentheses and the invisible ones that a macro leaves.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        _ => ty,
    }
}

/// The `fn(..) -> R` of a `Func<fn(..) -> R>`.
pub(crate) fn func_signature(ty: &Type) -> Option<&TypeFnPtr> {
    match bare(ty) {
        Type::Path(path) => func_parameter(&path.path),
        _ => None,
    }
}

pub(crate) fn result_of(signature: &TypeFnPtr) -> Option<&Type> {
    match &signature.output {
        ReturnType::Type(_, ty) => Some(ty),
        ReturnType::Default => None,
    }
}

/// `true` if a type is written `Result<..>`, by which a typed error is known: the macro can't look through an alias of
/// another name. rustc checks that the type is a `Result`.
pub(crate) fn is_result(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|last| last.ident == "Result")
}

/// `true` if a name is that of a primitive type.
pub(crate) fn is_primitive(name: &Ident) -> bool {
    const KNOWN: [&str; 17] = [
        "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128",
        "isize", "f32", "f64",
    ];
    KNOWN.iter().any(|known| name == known)
}

/// `true` if a result's type needs no check of its own.
pub(crate) fn surely_travels(ty: &Type) -> bool {
    match bare(ty) {
        Type::Path(path) => path.path.get_ident().is_some_and(|name| name == "String" || is_primitive(name)),
        Type::Tuple(tuple) => tuple.elems.is_empty(),
        Type::Verbatim(_) => true,
        _ => false,
    }
}

/// The `T` of a `Reader<T>`.
pub(crate) fn reader_item(ty: &Type) -> Option<&Type> {
    match bare(ty) {
        Type::Path(path) => only_parameter(&path.path, "Reader"),
        _ => None,
    }
}

/// `true` for a `Reader<T>` or a `Writer<T>`.
pub(crate) fn is_stream_end(ty: &Type) -> bool {
    let is_writer = |path: &Path| only_parameter(path, "Writer").is_some();
    reader_item(ty).is_some() || matches!(bare(ty), Type::Path(path) if is_writer(&path.path))
}

fn func_parameter(path: &Path) -> Option<&TypeFnPtr> {
    match bare(only_parameter(path, "Func")?) {
        Type::FnPtr(signature) => Some(signature),
        _ => None,
    }
}

/// The one parameter of a type of this name.
fn only_parameter<'a>(path: &'a Path, name: &str) -> Option<&'a Type> {
    let last = path.segments.last().filter(|last| last.ident == name)?;
    let mut arguments = generic_arguments(last);
    match (arguments.next(), arguments.next()) {
        (Some(GenericArgument::Type(ty)), None) => Some(ty),
        _ => None,
    }
}

/// `true` if a name is one of the standard library's types that hold others.
fn is_container(segment: &PathSegment) -> bool {
    const CONTAINERS: [&str; 13] = [
        "Arc",
        "BTreeMap",
        "BTreeSet",
        "Box",
        "Cow",
        "HashMap",
        "HashSet",
        "LinkedList",
        "Mutex",
        "Option",
        "Rc",
        "Result",
        "Vec",
    ];
    CONTAINERS.iter().any(|container| segment.ident == container)
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

fn generic_arguments(segment: &PathSegment) -> impl Iterator<Item = &GenericArgument> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(angle) => Some(angle.args.iter()),
        _ => None,
    };
    arguments.into_iter().flatten()
}
