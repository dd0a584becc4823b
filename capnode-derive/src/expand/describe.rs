//! The description of an interface, for the feature `describe` alone: what its table does not say.

use super::Expansion;
use crate::model::{Method, Output};
use crate::types::{self, bare};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Expr, ExprLit, GenericArgument, Lit, Meta, PathArguments, Type, TypePath};

impl Expansion<'_> {
    /// Returns the outline, and the client's name for types of the user's that hold one. A stand-in has none.
    pub(super) fn description(&self) -> Option<TokenStream> {
        let generics = &self.interface.item.generics;
        if self.is_fallback || generics.lifetimes().next().is_some() {
            return None;
        }
        let (client, params) = (&self.client_path, &self.params);
        let params = (!params.is_empty()).then(|| quote!(<#params>));
        // A parameter has to say what it is: what stands for it is unknown here.
        let predicates = self.clause().map(|clause| clause.predicates).unwrap_or_default().into_iter();
        let described = self.interface.type_params().map(|param| quote!(#param: __p::ts_rs::TS));
        let predicates: Vec<_> = predicates.map(ToTokens::into_token_stream).chain(described).collect();
        let clause = (!predicates.is_empty()).then(|| quote!(where #(#predicates),*));
        let docs = docs(&self.interface.item.attrs);
        let given = self.interface.type_params().map(|param| asked(&quote!(#param), &[], &[]));
        let parents = self.parents.iter().map(|parent| asked(&quote!(#parent), &[], &[]));
        let members = self.interface.methods.iter().map(member);
        Some(quote! {
            const _: () = {
                #[allow(unused_imports)]
                use __p::{IfOther as _, IfSame as _, OfDeclared as _, OfDescribed as _, OfKnown as _, OfUnknown as _};
                #[automatically_derived]
                impl #params __p::Described for #client #clause {
                    const OUTLINE: &'static __p::Outline = &__p::Outline {
                        interface: <Self as __p::Client>::INTERFACE,
                        docs: #docs,
                        given: &[#(|| #given),*],
                        extends: &[#(|| #parents),*],
                        members: &[#(#members),*],
                    };
                }
                #[automatically_derived]
                impl #params __p::ts_rs::TS for #client #clause {
                    type WithoutGenerics = Self;
                    type OptionInnerType = Self;
                    fn name(_: &__p::ts_rs::Config) -> __p::String { __p::name_of::<Self>() }
                    fn inline(_: &__p::ts_rs::Config) -> __p::String { __p::name_of::<Self>() }
                    fn visit_dependencies(_: &mut impl __p::ts_rs::TypeVisitor) { __p::mention::<Self>() }
                }
            };
        })
    }
}

fn member(method: &Method) -> TokenStream {
    let (cfgs, docs) = (method.cfgs(), docs(&method.item.attrs));
    let arguments = method.arguments.iter().map(|argument| described(&argument.written.ty));
    let (result, error) = match &method.output {
        Output::Value(ty) => (described(ty), quote!(__p::None)),
        Output::Result(ty) => {
            let written = written_parts(ty);
            let [result, error] = [0, 1].map(|at| {
                let part = if at == 0 { quote!(Ok) } else { quote!(Err) };
                let part = quote!(<#ty as __p::IsResult>::#part);
                let other = asked(&part, &[], &[]);
                match written.get(at) {
                    Some(written) => {
                        let same = described(written);
                        quote!((&&__p::Same::<#part, #written>(__p::PhantomData)).choose(|| #same, || #other))
                    }
                    None => other,
                }
            });
            (result, quote!(__p::Some(|| #error)))
        }
    };
    quote! {
        #(#cfgs)* __p::Member {
            docs: #docs,
            arguments: &[#(|| #arguments),*],
            result: || #result,
            error: #error,
        }
    }
}

/// Returns the code that describes a type.
fn described(ty: &Type) -> TokenStream {
    let of = |kind: TokenStream, ty: &Type| {
        let part = described(ty);
        quote!(__p::Shape::#kind(|| #part))
    };
    match bare(ty) {
        Type::Reference(reference) => described(&reference.elem),
        Type::Slice(slice) => of(quote!(List), &slice.elem),
        Type::Array(array) => {
            let (part, len) = (described(&array.elem), &array.len);
            quote!(__p::Shape::Array(|| #part, #len))
        }
        Type::Tuple(tuple) if !tuple.elems.is_empty() => {
            let parts = tuple.elems.iter().map(described);
            quote!(__p::Shape::Tuple(&[#(|| #parts),*]))
        }
        ty => {
            let parts = written_parts(ty);
            let shapes: Vec<_> = match &parts[..] {
                [Type::FnPtr(signature)] => {
                    let inputs = signature.inputs.iter().map(|input| described(&input.ty));
                    let result =
                        types::result_of(signature).map_or_else(|| asked(&quote!(()), &[], &[]), described);
                    inputs.chain([result]).collect()
                }
                parts => parts.iter().map(|ty| described(ty)).collect(),
            };
            asked(&ty.to_token_stream(), &parts, &shapes)
        }
    }
}

/// Returns the code that asks a type what it is.
fn asked(ty: &TokenStream, parts: &[&Type], shapes: &[TokenStream]) -> TokenStream {
    let written = ty.to_string().replace(' ', "");
    quote! {
        (&&&&__p::Shaped::<#ty, (#(__p::PhantomData<#parts>,)*)>(__p::PhantomData)).shape(#written, &[#(|| #shapes),*])
    }
}

/// Returns the types that are written as parameters of a type.
fn written_parts(ty: &Type) -> Vec<&Type> {
    let Type::Path(TypePath { qself: None, path, .. }) = bare(ty) else { return Vec::new() };
    let Some(PathArguments::AngleBracketed(angle)) = path.segments.last().map(|last| &last.arguments) else {
        return Vec::new();
    };
    let types = angle.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(bare(ty)),
        _ => None,
    });
    types.collect()
}

/// Returns the text of doc comments, less the space that each line begins with.
fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|doc| {
        let Meta::NameValue(doc) = &doc.meta else { return None };
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &doc.value else { return None };
        let text = text.value();
        Some(text.strip_prefix(' ').unwrap_or(&text).to_owned())
    });
    lines.collect::<Vec<_>>().join("\n")
}
