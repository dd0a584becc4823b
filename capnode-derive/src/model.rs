//! An interface as the rest of the macro sees it. Nothing is judged here: see `check`.

use crate::errors::Errors;
use crate::names::{plain, snake};
use crate::options::{InterfaceOptions, MethodOptions};
use crate::types;
use proc_macro2::{Ident, Span};
use quote::format_ident;
use syn::{
    Attribute, FnArg, GenericParam, ItemTrait, Pat, PatType, Path, ReturnType, TraitItem, TraitItemFn, Type,
};

pub(crate) struct Interface {
    pub options: InterfaceOptions,
    /// The trait as written, but for its methods, which are moved out of it.
    pub item: ItemTrait,
    /// The name of the client.
    pub client: Ident,
    pub methods: Vec<Method>,
}

pub(crate) struct Method {
    pub options: MethodOptions,
    /// The method as written, less its `#[capnode(..)]`.
    pub item: TraitItemFn,
    pub wire_name: String,
    pub arguments: Vec<Argument>,
    pub output: Output,
    /// `true` if an interface can have the signature. `check` finds out.
    pub is_valid: bool,
}

pub(crate) struct Argument {
    pub written: PatType,
    /// Its name, or one made up where that is no name or taken.
    pub name: Ident,
    pub pass_mode: PassMode,
}

/// The way of an argument from the caller to the implementation.
pub(crate) enum PassMode {
    /// By value.
    ByValue,
    /// `&T`: the callee's side decodes the owned form of this `T` and lends it.
    ByRef(Type),
    /// A `Func` of this function type: the caller may pass a closure as well.
    Func { signature: Type, fallible: bool },
    /// A `Reader` of this type: the caller may pass any stream of it as well, whose kind is a type parameter.
    Reader { item: Type, marker: Ident },
}

pub(crate) enum Output {
    Value(Type),
    /// A type written `Result<..>`.
    Result(Type),
}

impl Interface {
    pub(crate) fn read(options: InterfaceOptions, mut item: ItemTrait, errors: &mut Errors) -> Self {
        let mut methods = Vec::new();
        let mut others = Vec::new();
        for member in item.items {
            match member {
                TraitItem::Fn(method) => {
                    methods.push(Method::read(method, &options, errors));
                }
                other => others.push(other),
            }
        }
        item.items = others;
        Self { client: client_name(&item.ident), options, item, methods }
    }

    pub(crate) fn name(&self) -> String {
        match &self.options.name {
            Some(name) => name.value(),
            None => plain(&self.item.ident),
        }
    }

    /// The parents after the first, with the names of the methods that return their clients. An ambiguous name is left
    /// out, and `From` does its work.
    pub(crate) fn casts(&self) -> impl Iterator<Item = (Ident, &Path)> {
        let named = self.options.extends.iter().skip(1).filter_map(|parent| {
            let last = &parent.segments.last()?.ident;
            Some((format_ident!("as_{}", snake(&plain(last)), span = last.span()), parent))
        });
        let named: Vec<_> = named.collect();
        let names: Vec<_> = named.iter().map(|(name, _)| name.clone()).collect();
        let is_free = move |name: &Ident| {
            let is_method = self.methods.iter().any(|method| method.ident() == name);
            !is_method && names.iter().filter(|other| *other == name).count() == 1
        };
        named.into_iter().filter(move |(name, _)| is_free(name))
    }

    pub(crate) fn is_generic(&self) -> bool {
        !self.item.generics.params.is_empty()
    }

    pub(crate) fn type_params(&self) -> impl Iterator<Item = &Ident> {
        self.item.generics.params.iter().filter_map(|param| match param {
            GenericParam::Type(param) => Some(&param.ident),
            _ => None,
        })
    }
}

/// The name of the client of the trait `ident`.
pub(crate) fn client_name(ident: &Ident) -> Ident {
    format_ident!("{}Client", ident, span = ident.span())
}

impl Method {
    fn read(mut item: TraitItemFn, interface: &InterfaceOptions, errors: &mut Errors) -> Self {
        let options = MethodOptions::take(&mut item.attrs, errors);
        let wire_name = match &options.name {
            Some(name) => name.value(),
            None => interface.rename_all.apply(&plain(&item.sig.ident)),
        };
        let typed = item.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
        let mut arguments = Vec::<Argument>::new();
        for typed in typed {
            let argument = Argument::read(typed, &arguments);
            arguments.push(argument);
        }
        let output = Output::read(&item.sig.output, item.sig.ident.span());
        Self { options, wire_name, arguments, output, is_valid: true, item }
    }

    pub(crate) fn ident(&self) -> &Ident {
        &self.item.sig.ident
    }

    pub(crate) fn is_property(&self) -> bool {
        self.options.property.is_some()
    }

    /// Its `#[cfg(..)]`s.
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes("cfg")
    }

    pub(crate) fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Attribute> {
        self.item.attrs.iter().filter(move |attribute| attribute.path().is_ident(name))
    }
}

impl Argument {
    fn read(written: &PatType, earlier: &[Argument]) -> Self {
        let name = match &*written.pat {
            Pat::Ident(pat) if earlier.iter().all(|earlier| earlier.name != pat.ident) => pat.ident.clone(),
            _ => format_ident!("__argument_{}", earlier.len()),
        };
        let marker = format_ident!("__Marker{}", earlier.len());
        Self { name, pass_mode: PassMode::read(&written.ty, marker), written: written.clone() }
    }
}

impl PassMode {
    fn read(ty: &Type, marker: Ident) -> Self {
        if let Type::Reference(reference) = types::bare(ty) {
            return Self::ByRef((*reference.elem).clone());
        }
        match types::func_signature(ty) {
            Some(signature) => Self::Func {
                fallible: types::result_of(signature).is_some_and(types::is_result),
                signature: Type::FnPtr(signature.clone()),
            },
            None => match types::reader_item(ty) {
                Some(item) => Self::Reader { item: item.clone(), marker },
                None => Self::ByValue,
            },
        }
    }
}

impl Output {
    fn read(output: &ReturnType, span: Span) -> Self {
        match output {
            ReturnType::Default => Self::Value(Type::Verbatim(quote::quote_spanned!(span=> ()))),
            ReturnType::Type(_, ty) if types::is_result(ty) => Self::Result((**ty).clone()),
            ReturnType::Type(_, ty) => Self::Value((**ty).clone()),
        }
    }

    pub(crate) fn ty(&self) -> &Type {
        match self {
            Self::Value(ty) | Self::Result(ty) => ty,
        }
    }
}
