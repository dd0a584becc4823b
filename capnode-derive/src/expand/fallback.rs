//! The stand-in for an interface that has mistakes. The macro has reported them, so nothing here may cause another
//! report.

use super::Expansion;
use crate::model::{Argument, Method, Output, PassMode};
use crate::types::{self, InvalidType, InvalidTypeKind};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{FnArg, GenericArgument, ItemTrait, Pat, PathArguments, Signature, Type, TypeParamBound};

impl Expansion<'_> {
    /// `true` if no earlier method has the name of `method`, outside of `#[cfg(..)]`.
    pub(super) fn is_first(&self, method: &Method) -> bool {
        let mut earlier = self.interface.methods.iter().take_while(|earlier| !std::ptr::eq(*earlier, method));
        !self.is_fallback
            || method.cfgs().next().is_some()
            || !earlier.any(|earlier| earlier.ident() == method.ident())
    }

    /// Makes a trait acceptable to rustc with any methods.
    pub(super) fn relax(&self, item: &mut ItemTrait) {
        item.modifiers.auto_token = None;
        // For default bodies of methods that take `self`.
        item.supertraits.push(TypeParamBound::Verbatim(quote!(::core::marker::Sized)));
    }

    /// A method that no interface can have is left as it is, since its `impl`s look like it.
    pub(super) fn trait_method_as_written(&self, method: &Method) -> TokenStream {
        let mut item = method.item.clone();
        item.sig.constness = None;
        item.sig.variadic = None;
        if item.default.is_none() {
            let mut arguments = method.arguments.iter();
            for input in &mut item.sig.inputs {
                let FnArg::Typed(typed) = input else { continue };
                let Some(Argument { name, .. }) = arguments.next() else { continue };
                if !matches!(*typed.pat, Pat::Wild(_)) {
                    *typed.pat = Pat::Verbatim(quote!(#name));
                }
            }
        }
        quote!(#[allow(async_fn_in_trait)] #item)
    }

    /// Returns a method of the client that takes and returns the types that its callers expect, so far as it can.
    pub(super) fn client_fallback(&self, method: &Method) -> TokenStream {
        let Signature { ident, generics, inputs, .. } = &method.item.sig;
        let receiver = matches!(inputs.first(), Some(FnArg::Receiver(_))).then(|| quote!(&self,));
        let arguments = method.arguments.iter().map(|argument| self.argument_fallback(argument));
        let output = call_fallback(&method.output);
        let clause = &generics.where_clause;
        let vis = &self.interface.item.vis;
        quote! {
            #vis fn #ident #generics(#receiver #(#arguments),*) -> #output #clause {
                ::core::unreachable!()
            }
        }
    }

    fn argument_fallback(&self, argument: &Argument) -> TokenStream {
        let (name, ty) = (&argument.name, &*argument.written.ty);
        let inner = match types::bare(ty) {
            Type::Reference(reference) => &reference.elem,
            Type::Slice(_) => return quote!(#name: impl ::core::marker::Sized),
            Type::Path(path) if path.path.is_ident("str") => return quote!(#name: impl ::core::marker::Sized),
            other => other,
        };
        match InvalidType::find(inner) {
            // The kind of a stream would be a type parameter.
            None if matches!(argument.pass_mode, PassMode::Reader { .. }) => {
                quote!(#name: impl ::core::marker::Sized)
            }
            None => self.client_argument(argument),
            Some(InvalidType { kind, in_func: false, .. }) if is_possible(kind) => quote!(#name: #ty),
            Some(_) => quote!(#name: impl ::core::marker::Sized),
        }
    }
}

/// `true` if rustc takes such a type for an argument, though an interface can't.
fn is_possible(kind: InvalidTypeKind) -> bool {
    use InvalidTypeKind::*;
    matches!(kind, Reference | MutReference | Lifetime | Dyn | Impl | BareFn)
}

fn call_fallback(output: &Output) -> TokenStream {
    let mut ty = output.ty().clone();
    own(&mut ty);
    if InvalidType::find(&ty).is_some() {
        ty = Type::Verbatim(quote!(()));
    }
    super::client::call_type(&match output {
        Output::Result(_) if types::is_result(&ty) => Output::Result(ty),
        _ => Output::Value(ty),
    })
}

/// Turns a borrowed type into its owned form, as the message about it says: `&str` becomes `String`.
fn own(ty: &mut Type) {
    match ty {
        Type::Group(group) => own(&mut group.elem),
        Type::Paren(paren) => own(&mut paren.elem),
        Type::Array(array) => own(&mut array.elem),
        Type::Slice(slice) => own(&mut slice.elem),
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(own),
        Type::Path(path) => {
            let arguments = path.path.segments.iter_mut().map(|segment| &mut segment.arguments);
            for arguments in arguments {
                let PathArguments::AngleBracketed(angle) = arguments else { continue };
                for argument in &mut angle.args {
                    match argument {
                        GenericArgument::Type(ty) => own(ty),
                        GenericArgument::Lifetime(lifetime) => lifetime.ident = format_ident!("static"),
                        _ => {}
                    }
                }
            }
        }
        Type::Reference(reference) => {
            own(&mut reference.elem);
            let inner = &reference.elem;
            *ty = Type::Verbatim(quote!(__p::Owned<#inner>));
        }
        _ => {}
    }
}
