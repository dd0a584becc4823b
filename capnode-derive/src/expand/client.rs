//! The client: what callers hold. Each of its methods is a shim into the runtime.

use super::{Expansion, client_of, lints, span};
use crate::model::{Argument, Method, Output, PassMode};
use crate::names::plain;
use crate::types;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, GenericParam};

impl Expansion<'_> {
    /// Returns the type itself, which stands beside the trait.
    pub(super) fn client(&self) -> TokenStream {
        let (item, name) = (&self.interface.item, &self.interface.client);
        let krate = &self.interface.options.krate;
        let (vis, cfgs) = (&item.vis, &self.cfgs);
        let summary = format!("A reference to a [`{}`], wherever it lives.", plain(&item.ident));
        let docs = item.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
        let gap = docs.clone().next().map(|_| quote!(#[doc = ""]));
        let deprecated = item.attrs.iter().filter(|attribute| attribute.path().is_ident("deprecated"));
        let lints = lints(&item.attrs);
        // Its content is what it dereferences to: the client of the first interface that this one extends.
        let inner = match self.parents.first() {
            Some(parent) => quote!(#parent),
            None => quote!(#krate::Cap),
        };
        let fields = if self.interface.is_generic() {
            let types = self.interface.type_params().map(|name| quote!(#name));
            let lifetimes = item.generics.lifetimes().map(|param| {
                let lifetime = &param.lifetime;
                quote!(&#lifetime ())
            });
            let marker = quote!(fn() -> (#(#types,)* #(#lifetimes,)*));
            quote!((#inner, #krate::__private::PhantomData<#marker>))
        } else {
            quote!((#inner))
        };
        let params = self.struct_params();
        quote! {
            #(#cfgs)*
            #[doc = #summary] #gap #(#docs)* #(#deprecated)*
            #[allow(dead_code)]
            #(#lints)*
            #vis struct #name #params #fields;
        }
    }

    /// Returns the parameters of the client: those of the trait, without bounds, which the `impl`s have.
    fn struct_params(&self) -> Option<TokenStream> {
        let generics = &self.interface.item.generics;
        let params = generics.params.iter().map(|param| {
            let mut param = param.clone();
            match &mut param {
                GenericParam::Type(param) => {
                    param.colon_token = None;
                    param.bounds.clear();
                }
                GenericParam::Lifetime(param) => {
                    param.colon_token = None;
                    param.bounds.clear();
                }
                GenericParam::Const(_) => {}
            }
            param
        });
        self.interface.is_generic().then(|| quote!(<#(#params),*>))
    }

    /// Returns the parameters of the client as arguments: without bounds and defaults.
    pub(super) fn bare_params(&self) -> Option<TokenStream> {
        let params = self.interface.item.generics.params.iter().map(|param| match param {
            GenericParam::Type(param) => param.ident.to_token_stream(),
            GenericParam::Lifetime(param) => param.lifetime.to_token_stream(),
            GenericParam::Const(param) => {
                let (name, ty) = (&param.ident, &param.ty);
                quote!(const #name: #ty)
            }
        });
        self.interface.is_generic().then(|| quote!(<#(#params),*>))
    }

    /// Returns all `impl`s of the client.
    pub(super) fn client_impls(&self) -> TokenStream {
        let methods = self.interface.methods.iter().filter(|method| self.is_first(method));
        let methods = methods.map(|method| {
            let attributes = shim_attributes(method);
            let shim = if self.is_fallback { self.client_fallback(method) } else { self.shim(method) };
            quote!(#attributes #shim)
        });
        let constructors = self.constructors();
        let casts = self.casts();
        let inherent = self.inherent();
        let common = self.common_impls();
        quote! {
            #inherent {
                #constructors
                #casts
                #(#methods)*
            }
            #common
        }
    }

    /// A method's name comes before a constructor's, which has another spelling in the runtime.
    fn constructors(&self) -> TokenStream {
        let (vis, trait_path) = (&self.interface.item.vis, &self.trait_path);
        let body = |body: TokenStream| if self.is_fallback { quote!(::core::unreachable!()) } else { body };
        let new = body(quote!(__p::serve(__p::Arc::new(object__))));
        let from_arc = body(quote!(__p::serve(object__)));
        let promise = body(quote!(__p::promise()));
        let object = Ident::new("__O", Span::call_site());
        let of_object = self.clause_of(&object);
        // What a `where` clause says of the object needs a name for its type.
        let (param, object, clause) = if of_object.is_empty() {
            (None, quote!(impl #trait_path), None)
        } else {
            let param = quote!(<#object: #trait_path>);
            (Some(param), quote!(#object), Some(quote!(where #(#of_object),*)))
        };
        let free = |name: &str| self.interface.methods.iter().all(|method| method.ident() != name);
        let mut constructors = TokenStream::new();
        if free("new") {
            constructors.extend(quote! {
                /// Returns a reference to an object, which lives as long as a reference to it is held.
                #vis fn new #param(object__: #object) -> Self #clause {
                    #new
                }
            });
        }
        if free("from_arc") {
            constructors.extend(quote! {
                /// Returns a reference to an object that this program holds as well.
                #vis fn from_arc #param(object__: __p::Arc<#object>) -> Self #clause {
                    #from_arc
                }
            });
        }
        if free("promise") {
            constructors.extend(quote! {
                /// Returns a reference to an object that the resolver will name, and the resolver. Calls wait for the
                /// object.
                #vis fn promise() -> (Self, __p::Resolver<Self>) {
                    #promise
                }
            });
        }
        constructors
    }

    /// Returns the methods for the clients of further parents, to which this client does not dereference.
    fn casts(&self) -> TokenStream {
        let vis = &self.interface.item.vis;
        let casts = self.interface.casts().map(|(name, parent)| {
            let client = client_of(parent);
            let docs = format!(
                "The same reference as a [`{}`].",
                plain(&client.segments[client.segments.len() - 1].ident)
            );
            let body =
                if self.is_fallback { quote!(::core::unreachable!()) } else { quote!(__p::cast(self)) };
            quote!(#[doc = #docs] #vis fn #name(&self) -> #client { #body })
        });
        casts.collect()
    }

    fn shim(&self, method: &Method) -> TokenStream {
        let name = method.ident();
        let arguments = method.arguments.iter().map(|argument| self.client_argument(argument));
        let (vis, output) = (&self.interface.item.vis, call_type(&method.output));
        let index = self.index_of(method);
        let body = if method.is_property() {
            quote!(__p::read(self, #index))
        } else {
            let values = method.arguments.iter().map(passed);
            // All at one place, so that rustc finds the argument to blame; but `self` keeps its own,
            // by which it is known within a macro.
            let this = quote!(self);
            quote_spanned!(name.span()=> __p::call(#this, #index, (#(#values,)*)))
        };
        let body = match method.options.rederive {
            Some(span) => quote_spanned!(span=> __p::rederived(#body)),
            None => body,
        };
        let markers = method.arguments.iter().filter_map(|argument| match &argument.pass_mode {
            PassMode::Reader { marker, .. } => Some(marker),
            _ => None,
        });
        let markers: Vec<_> = markers.collect();
        let params = (!markers.is_empty()).then(|| quote!(<#(#markers),*>));
        quote!(#vis fn #name #params(&self, #(#arguments),*) -> #output { #body })
    }

    /// Returns an argument as the client takes it.
    pub(super) fn client_argument(&self, argument: &Argument) -> TokenStream {
        let (name, ty) = (&argument.name, &argument.written.ty);
        match &argument.pass_mode {
            PassMode::Func { signature, .. } => {
                let into = into_func(argument);
                let span = span::of_type(&argument.written.ty);
                quote_spanned!(span=> #name: impl #into<#signature>)
            }
            PassMode::Reader { item, marker } => {
                quote_spanned!(span::of_type(ty)=> #name: impl __p::IntoReader<#item, #marker>)
            }
            _ => quote!(#name: #ty),
        }
    }

    /// The traits of every reference, each handed on to the reference inside.
    fn common_impls(&self) -> TokenStream {
        let client = &self.client_path;
        let simple = |head: TokenStream| self.impl_of(quote!(#head for #client));
        let clone = simple(quote!(__p::Clone));
        let debug = simple(quote!(__p::Debug));
        let partial_eq = simple(quote!(__p::PartialEq));
        let eq = simple(quote!(__p::Eq));
        let hash = simple(quote!(__p::Hash));
        let serialize = simple(quote!(__p::Serialize));
        let deserialize = self.impl_with(quote!('d,), quote!(), quote!(__p::Deserialize<'d> for #client));
        let [hasher, serializer, deserializer] = ["H", "S", "D"].map(|name| self.type_param(name));
        let cloned = self.wrap(quote!(__p::Clone::clone(&self.0)));
        let deserialized = self.wrap(self.holding(quote!(c__)));
        let deref = self.parents.first().map(|parent| {
            let head = simple(quote!(__p::Deref));
            quote!(#head { type Target = #parent; fn deref(&self) -> &#parent { &self.0 } })
        });
        // One that has been refused is no `Client`, and should not be told so a second time.
        let serialized = match self.interface.item.generics.lifetimes().next() {
            None => quote!(__p::serialize(self, t__)),
            Some(_) => quote!(__p::Serialize::serialize(&self.0, t__)),
        };
        let upcasts = self.parents.iter().map(|parent| {
            let head = self.impl_of(quote!(__p::From<#client> for #parent));
            quote!(#head { fn from(c__: #client) -> Self { __p::cast(&c__) } })
        });
        quote! {
            #deref
            #clone { fn clone(&self) -> Self { #cloned } }
            #debug { fn fmt(&self, f__: &mut __p::Formatter<'_>) -> __p::FmtResult { __p::Debug::fmt(&self.0, f__) } }
            #partial_eq { fn eq(&self, e__: &Self) -> bool { self.0 == e__.0 } }
            #eq {}
            #hash { fn hash<#hasher: __p::Hasher>(&self, t__: &mut #hasher) { __p::Hash::hash(&self.0, t__) } }
            #serialize {
                fn serialize<#serializer: __p::Serializer>(&self, t__: #serializer) -> __p::Result<#serializer::Ok, #serializer::Error> {
                    #serialized
                }
            }
            #deserialize {
                fn deserialize<#deserializer: __p::Deserializer<'d>>(d__: #deserializer) -> __p::Result<Self, #deserializer::Error> {
                    __p::Result::map(__p::Deserialize::deserialize(d__), |c__| #deserialized)
                }
            }
            #(#upcasts)*
        }
    }
}

/// Returns the `Call<..>` for a method's result.
pub(super) fn call_type(output: &Output) -> TokenStream {
    match output {
        Output::Value(ty) => quote!(__p::Call<#ty, __p::Error>),
        Output::Result(ty) => span::alias("CallOf", ty),
    }
}

/// Returns an argument as it is handed to the runtime, at the place of its type: there rustc points if the type can't
/// travel.
fn passed(argument: &Argument) -> TokenStream {
    let span = span::of_type(&argument.written.ty);
    let name = span::name_at(&argument.name, span);
    match &argument.pass_mode {
        PassMode::ByValue if types::surely_travels(&argument.written.ty) => {
            quote_spanned!(span=> __p::ByValue(#name))
        }
        PassMode::ByValue => {
            let ty = &argument.written.ty;
            quote_spanned!(span=> <#ty as __p::Passed>::give(#name))
        }
        PassMode::ByRef(_) => quote_spanned!(span=> __p::ByRef(#name)),
        PassMode::Func { .. } => {
            let into = into_func(argument);
            let ty = &argument.written.ty;
            quote_spanned!(span=> __p::ByValue(__p::func::<#ty, _>(#into::into_func(#name))))
        }
        PassMode::Reader { item, marker } => {
            let ty = &argument.written.ty;
            let into = quote_spanned!(span=> __p::IntoReader::<#item, #marker>::into_reader(#name));
            quote_spanned!(span=> __p::ByValue(__p::reader::<#ty, _>(#into)))
        }
    }
}

fn into_func(argument: &Argument) -> TokenStream {
    let span = span::of_type(&argument.written.ty);
    match &argument.pass_mode {
        PassMode::Func { fallible: true, .. } => quote_spanned!(span=> __p::IntoFallibleFunc),
        _ => quote_spanned!(span=> __p::IntoFunc),
    }
}

/// Returns the attributes that a method of the trait passes on to that of the client.
fn shim_attributes(method: &Method) -> TokenStream {
    let kept = |attribute: &&Attribute| {
        ["cfg", "doc", "deprecated"].iter().any(|kept| attribute.path().is_ident(kept))
    };
    let attributes = method.item.attrs.iter().filter(kept);
    let lints = lints(&method.item.attrs);
    let undocumented = method.attributes("doc").next().is_none();
    // The trait's method is reported by `missing_docs`: once is enough.
    let docs = undocumented.then(|| {
        let verb = if method.is_property() { "Reads" } else { "Calls" };
        let docs = format!("{verb} `{}`.", plain(method.ident()));
        quote!(#[doc = #docs])
    });
    quote!(#docs #(#attributes)* #(#lints)*)
}
