//! The trait: the user's, with `async fn` spelled out so that every future is `Send`.

use super::{Expansion, span, wire_bound};
use crate::model::Method;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericParam, ReturnType, TraitItem, Type, TypeParamBound};

impl Expansion<'_> {
    pub(super) fn trait_(&self) -> TokenStream {
        let options = &self.interface.options;
        let (krate, parents) = (&options.krate, &options.extends);
        let mut item = self.interface.item.clone();
        item.attrs.retain(|attribute| !attribute.path().is_ident("capnode"));
        item.colon_token.get_or_insert_with(Default::default);
        let bounds = quote! {
            #krate::__private::Send + #krate::__private::Sync + #krate::__private::AnInterface + 'static #(+ #parents)*
        };
        item.supertraits.push(TypeParamBound::Verbatim(bounds));
        for param in &mut item.generics.params {
            if let GenericParam::Type(param) = param {
                let wire = wire_bound(krate, &param.ident);
                param.colon_token.get_or_insert_with(Default::default);
                param.bounds.push(TypeParamBound::Verbatim(wire));
            }
        }
        if self.is_fallback {
            self.relax(&mut item);
        }
        let methods = self.interface.methods.iter().filter(|method| self.is_first(method));
        item.items.extend(methods.map(|method| TraitItem::Verbatim(self.trait_method(method))));
        item.to_token_stream()
    }

    fn trait_method(&self, method: &Method) -> TokenStream {
        if !method.is_valid {
            return self.trait_method_as_written(method);
        }
        let mut signature = method.item.sig.clone();
        let output = method.output.ty();
        // Here rustc points when an implementation's future is not `Send`.
        let span = signature.ident.span();
        let krate = span::path_at(&self.interface.options.krate, span);
        let future = quote_spanned! {span=>
            impl #krate::__private::Future<Output = #output> + #krate::__private::Send
        };
        signature.asyncness = None;
        signature.output = ReturnType::Type(Default::default(), Box::new(Type::Verbatim(future)));
        let attributes = &method.item.attrs;
        let end = match &method.item.default {
            None => method.item.semi_token.to_token_stream(),
            Some(body) => quote_spanned!(span=> { async move #body }),
        };
        // The future around it makes the result seem more complex than it is written.
        quote!(#[allow(unused_qualifications, clippy::type_complexity)] #(#attributes)* #signature #end)
    }
}
