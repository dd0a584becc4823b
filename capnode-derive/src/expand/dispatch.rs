//! The table of an interface, and the code that runs a call by its place in the table.

use super::{Expansion, client_of, local, span};
use crate::model::{Method, Output, PassMode};
use crate::names::plain;
use crate::types;
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Expr, GenericArgument, Meta, Path, PathArguments, PathSegment, Stmt, Type, parse_quote};

impl Expansion<'_> {
    /// Returns the code that makes the client one for the runtime: its table, the half that all clients have, and the
    /// dispatcher. A stand-in with lifetimes can't be one.
    pub(super) fn serving(&self) -> Option<TokenStream> {
        if self.interface.item.generics.lifetimes().next().is_some() {
            return None;
        }
        let (client, table) = (&self.client_path, self.table());
        // Without the bounds of the parameters, so that a child's table can name any instance.
        let (params, krate) = (self.bare_params(), &self.interface.options.krate);
        let head = self.impl_of(quote!(__p::Client for #client));
        let (wrapped, serve) = (self.wrap(self.holding(quote!(c__))), self.serve());
        let cap = match self.parents.first() {
            Some(parent) => quote!(<#parent as __p::Client>::cap(&self.0)),
            None => quote!(&self.0),
        };
        Some(quote! {
            static __TABLE: __p::Interface = #table;
            impl #params #client {
                #[doc(hidden)]
                pub const __INTERFACE: &'static #krate::__private::Interface = &__TABLE;
            }
            #head {
                const INTERFACE: &'static __p::Interface = &__TABLE;
                fn from_cap(c__: __p::Cap) -> Self { #wrapped }
                fn cap(&self) -> &__p::Cap { #cap }
            }
            #serve
        })
    }

    /// Returns the table, which knows no type parameters.
    fn table(&self) -> TokenStream {
        let (name, ident) = (self.interface.name(), plain(&self.interface.item.ident));
        let identity = quote!(
            ::core::concat!(::core::module_path!(), "::", #ident, ":", ::core::line!(), ":", ::core::column!())
        );
        if self.is_fallback {
            return quote!(__p::Interface::new(#name, #identity, &[]));
        }
        let methods = self.interface.methods.iter().map(entry);
        let table = quote!(__p::Interface::new(#name, #identity, &[#(#methods,)*]));
        let Some(first) = self.interface.options.extends.first() else { return table };
        let parents = self.interface.options.extends.iter().map(|parent| {
            let client = self.any_instance(client_of(parent));
            let given = self.given(parent);
            quote!(__p::Parent::new(<#client>::__INTERFACE, &[#(#given),*]))
        });
        let casts = self.interface.casts().map(|(name, _)| plain(&name));
        // There rustc points if the names don't go together.
        let span = span::of_path(first);
        quote_spanned!(span=> #table.extending(&__p::Ancestors::of(&[#(#parents),*]), &[#(#casts),*]))
    }

    /// Returns the client at `path` for type parameters that are known here: where the table is, those of the trait are
    /// not.
    fn any_instance(&self, mut path: Path) -> Path {
        let Some(PathSegment { arguments: PathArguments::AngleBracketed(angle), .. }) =
            path.segments.last_mut()
        else {
            return path;
        };
        for argument in &mut angle.args {
            match argument {
                GenericArgument::Type(ty) => match self.const_param(ty) {
                    Some(value) => *argument = GenericArgument::Const(value),
                    None => *ty = parse_quote!(()),
                },
                GenericArgument::Const(value) => {
                    if let Expr::Block(block) = value {
                        if let [Stmt::Expr(Expr::Path(path), None)] = &block.block.stmts[..] {
                            if let Some(known) = self.const_param(&Type::Path(parse_quote!(#path))) {
                                *value = known;
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        path
    }

    /// Returns any value for a constant parameter of the trait, if `ty` is one.
    fn const_param(&self, ty: &Type) -> Option<Expr> {
        let Type::Path(path) = ty else { return None };
        let name = path.path.get_ident()?;
        let mut params = self.interface.item.generics.const_params();
        let param = params.find(|param| param.ident == *name)?;
        Some(match param.ty.to_token_stream().to_string().as_str() {
            "bool" => parse_quote!(false),
            "char" => parse_quote!('a'),
            _ => parse_quote!(0),
        })
    }

    /// Returns the place of a method in the table.
    pub(super) fn index_of(&self, method: &Method) -> Literal {
        let mut methods = self.interface.methods.iter();
        let index = methods.position(|other| std::ptr::eq(other, method));
        Literal::usize_unsuffixed(index.unwrap_or_default())
    }

    /// Returns the dispatcher.
    fn serve(&self) -> TokenStream {
        let (client, trait_path) = (&self.client_path, &self.trait_path);
        let head = self.impl_with(quote!(), quote!(__T: #trait_path), quote!(__p::Serve<__T> for #client));
        let of_object = self.clause_of(&Ident::new("__T", Span::call_site()));
        let head = match (of_object.is_empty(), self.clause().is_some()) {
            (true, _) => head,
            (false, true) => quote!(#head, #(#of_object),*),
            (false, false) => quote!(#head where #(#of_object),*),
        };
        let (index, request) = (local("m"), local("r"));
        let body = if self.is_fallback {
            quote!(::core::unreachable!())
        } else {
            let arms = self.interface.methods.iter().map(|method| self.arm(method));
            let rest = self.inherited();
            quote!(match #index { #(#arms)* _ => #rest })
        };
        quote! {
            #head {
                fn dispatch(#index: usize, #request: __p::Invocation<__T>) -> __p::Response {
                    #body
                }
            }
        }
    }

    /// Decodes the arguments of a call and calls the method of the object.
    fn arm(&self, method: &Method) -> TokenStream {
        let (trait_path, name) = (&self.trait_path, method.ident());
        let (object, request) = (local("o"), local("r"));
        let cfgs = method.cfgs();
        let index = self.index_of(method);
        let names = method.arguments.iter().map(|argument| &argument.name);
        let types = owned_types(method);
        let values = method.arguments.iter().map(|argument| {
            let name = &argument.name;
            match argument.pass_mode {
                PassMode::ByRef(_) => quote!(&#name),
                _ => quote!(#name),
            }
        });
        // rustc reports all mistakes in the types of the method at this place.
        let span = if types::surely_travels(method.output.ty()) {
            name.span()
        } else {
            span::of_type(method.output.ty())
        };
        // By path, since `object.clone()` would clone the reference to the object, and since a
        // trait extended may have a method of the same name.
        let body = quote! {
            |#object, (#(#names,)*) #types| async move {
                <__T as #trait_path>::#name(&#object, #(#values),*).await
            }
        };
        let run = match &method.output {
            Output::Value(_) => {
                let run = Ident::new("run", span);
                quote!(#request.#run(#body))
            }
            Output::Result(ty) => {
                let run = quote_spanned!(span=> <#ty as __p::IsResult>::run);
                quote!(#run(#request, #body))
            }
        };
        quote!(#(#cfgs)* #index => #run,)
    }

    /// Returns the code that runs a method of an extended trait, whose places come after those of this one.
    fn inherited(&self) -> TokenStream {
        let (index, request) = (local("m"), local("r"));
        if self.parents.is_empty() {
            return quote!(#request.no_such_method(),);
        }
        let parents = self.parents.iter().enumerate().map(|(at, parent)| {
            let at = Literal::usize_unsuffixed(at);
            quote!((#at, #index) => <#parent as __p::Serve<__T>>::dispatch(#index, #request),)
        });
        quote!(match __TABLE.inherited(#index) { #(#parents)* _ => #request.no_such_method() })
    }
}

/// Returns the types that rustc can't find by itself: those that are decoded only to be lent, and those that may not
/// travel.
fn owned_types(method: &Method) -> Option<TokenStream> {
    let mut any = false;
    let types = method.arguments.iter().map(|argument| match &argument.pass_mode {
        PassMode::ByRef(ty) => {
            any = true;
            quote_spanned!(span::of_type(ty)=> __p::Owned<#ty>)
        }
        PassMode::ByValue | PassMode::Reader { .. } if !types::surely_travels(&argument.written.ty) => {
            any = true;
            let ty = &argument.written.ty;
            quote_spanned!(span::of_type(ty)=> __p::Taken<#ty>)
        }
        _ => quote!(_),
    });
    let types = quote!(: (#(#types,)*));
    any.then_some(types)
}

/// A line of the table. A method that a `#[cfg(..)]` takes out leaves its place.
fn entry(method: &Method) -> TokenStream {
    let (name, ident) = (&method.wire_name, plain(method.ident()));
    let mut entry = if method.is_property() {
        quote!(__p::Method::property(#name, #ident))
    } else {
        let arguments = method.arguments.iter().map(|argument| plain(&argument.name));
        quote!(__p::Method::call(#name, #ident, &[#(#arguments),*]))
    };
    let options = &method.options;
    let marks = [
        (options.no_cancel, quote!(.no_cancel())),
        (options.blocking, quote!(.blocking())),
        (options.read, quote!(.read())),
        (options.idempotent, quote!(.idempotent())),
        (options.rederive.is_some(), quote!(.rederive())),
    ];
    entry.extend(marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark));
    let conditions = method.cfgs().filter_map(|cfg| match &cfg.meta {
        Meta::List(list) => Some(&list.tokens),
        _ => None,
    });
    let conditions: Vec<_> = conditions.collect();
    match &conditions[..] {
        [] => entry,
        [condition] => quote! {
            #[cfg(#condition)] #entry,
            #[cfg(not(#condition))] __p::Method::absent()
        },
        several => quote! {
            #[cfg(all(#(#several),*))] #entry,
            #[cfg(not(all(#(#several),*)))] __p::Method::absent()
        },
    }
}
