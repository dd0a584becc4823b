//! The description of an interface, for the feature `describe` alone.

use super::Expansion;
use crate::model::{Method, Output};
use crate::names::plain;
use crate::types;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Expr, ExprLit, GenericArgument, Lit, Meta, PathArguments, PathSegment, Type};

impl Expansion<'_> {
    /// Returns the `impl` with the description. A stand-in has none.
    pub(super) fn description(&self) -> Option<TokenStream> {
        if self.is_fallback || self.interface.item.generics.lifetimes().next().is_some() {
            return None;
        }
        let client = &self.client_path;
        let head = self.impl_of(quote!(__p::Described for #client));
        let (name, docs) = (self.interface.name(), docs(&self.interface.item.attrs));
        let members = self.interface.methods.iter().map(|method| self.member(method));
        let parents = self.parents.iter().map(|parent| quote!(|| <#parent as __p::Described>::DESCRIPTION));
        Some(quote! {
            #head {
                const DESCRIPTION: &'static __p::Description = &__p::Description {
                    name: #name,
                    docs: #docs,
                    extends: &[#(#parents),*],
                    members: &[#(#members),*],
                };
            }
        })
    }

    fn member(&self, method: &Method) -> TokenStream {
        let (cfgs, name, docs) = (method.cfgs(), &method.wire_name, docs(&method.item.attrs));
        let property = method.is_property();
        let arguments = method.arguments.iter().map(|argument| {
            let (name, ty) = (plain(&argument.name), self.described(&argument.written.ty));
            quote!((#name, || #ty))
        });
        let (result, error) = match &method.output {
            Output::Value(ty) => (Some(ty), None),
            Output::Result(ty) => {
                let mut parts = last(ty).into_iter().flat_map(parameters);
                (parts.next(), parts.next())
            }
        };
        let result = match result {
            Some(ty) => self.described(ty),
            // An alias that says it all by itself.
            None => quote!(__p::Shape::Unknown("Result")),
        };
        let error = match error.map(|ty| self.described(ty)) {
            Some(ty) => quote!(__p::Some(|| #ty)),
            None => quote!(__p::None),
        };
        quote! {
            #(#cfgs)* __p::Member {
                name: #name,
                docs: #docs,
                is_property: #property,
                arguments: &[#(#arguments),*],
                result: || #result,
                error: #error,
            }
        }
    }

    /// Returns the code that describes a type. What the macro does not know by name is asked for what it is.
    fn described(&self, ty: &Type) -> TokenStream {
        let ty = types::bare(ty);
        if let Some(signature) = types::func_signature(ty) {
            let inputs = signature.inputs.iter().map(|input| self.described(&input.ty));
            let result = types::result_of(signature).map(|ty| self.described(ty));
            let result = result.unwrap_or_else(|| quote!(__p::Shape::Tuple(&[])));
            return quote!(__p::Shape::Func(&[#(|| #inputs),*], || #result));
        }
        match ty {
            Type::Reference(reference) => self.described(&reference.elem),
            Type::Slice(slice) => self.of("List", &[&slice.elem]),
            Type::Tuple(tuple) => {
                let parts = tuple.elems.iter().map(|ty| self.described(ty));
                quote!(__p::Shape::Tuple(&[#(|| #parts),*]))
            }
            Type::Path(path) => self.described_path(ty, path.path.segments.last()),
            other => unknown(other),
        }
    }

    fn described_path(&self, ty: &Type, last: Option<&PathSegment>) -> TokenStream {
        let Some(last) = last else { return unknown(ty) };
        let name = plain(&last.ident);
        let parts: Vec<_> = parameters(last).collect();
        match (name.as_str(), &parts[..]) {
            ("Option", [one]) => self.of("Option", &[one]),
            ("Vec" | "VecDeque" | "HashSet" | "BTreeSet", [one]) => self.of("List", &[one]),
            ("HashMap" | "BTreeMap", [key, value]) => self.of("Map", &[key, value]),
            ("Reader", [one]) => self.of("Reader", &[one]),
            ("Writer", [one]) => self.of("Writer", &[one]),
            ("Box" | "Arc" | "Rc", [one]) => self.described(one),
            (_, []) if self.interface.type_params().any(|param| *param == last.ident) => unknown(ty),
            (_, []) if types::is_primitive(&last.ident) || is_known(&name) => {
                quote!(__p::Shape::Known(#name))
            }
            _ => {
                let written = written(ty);
                quote!({
                    use __p::{OfDescribed as _, OfUndescribed as _};
                    (&__p::Shaped::<#ty>(__p::PhantomData)).shape(#written)
                })
            }
        }
    }

    fn of(&self, kind: &str, parts: &[&Type]) -> TokenStream {
        let kind = quote::format_ident!("{kind}");
        let parts = parts.iter().map(|ty| self.described(ty));
        quote!(__p::Shape::#kind(#(|| #parts),*))
    }
}

/// `true` for the types that every peer has, by the names that the library and std give them.
fn is_known(name: &str) -> bool {
    ["String", "Bytes", "Date", "BigInt", "Url", "Headers", "Value", "Cap"].contains(&name)
}

fn unknown(ty: &Type) -> TokenStream {
    let written = written(ty);
    quote!(__p::Shape::Unknown(#written))
}

fn written(ty: &Type) -> String {
    ty.to_token_stream().to_string().replace(' ', "")
}

fn last(ty: &Type) -> Option<&PathSegment> {
    match types::bare(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

fn parameters(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(angle) => Some(angle.args.iter()),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
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
