//! The parameters of a parent, as the table knows them: in pieces, by which it finds out if an interface that is
//! extended in two ways is the same in both.

use super::Expansion;
use crate::types::{self, bare};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{Expr, GenericArgument, GenericParam, Path, PathArguments, ReturnType, Stmt, Type};

/// Names that mean the same in every module, unless user code redefines them.
const KNOWN: [&str; 8] = ["Box", "Option", "Result", "String", "Vec", "alloc", "core", "std"];

impl Expansion<'_> {
    /// Each of the parameters.
    pub(super) fn given(&self, parent: &Path) -> Vec<TokenStream> {
        match parent.segments.last().map(|last| &last.arguments) {
            Some(PathArguments::AngleBracketed(angle)) => {
                angle.args.iter().map(|it| self.argument(it)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn argument(&self, argument: &GenericArgument) -> TokenStream {
        match argument {
            GenericArgument::Type(ty) => self.part(ty),
            GenericArgument::Const(Expr::Block(value)) => match &value.block.stmts[..] {
                [Stmt::Expr(Expr::Path(path), None)] => self.path(&path.path),
                _ => words(value),
            },
            other => words(other),
        }
    }

    fn part(&self, ty: &Type) -> TokenStream {
        let parts = |types: &mut dyn Iterator<Item = &Type>| {
            let parts: TokenStream = types
                .map(|ty| {
                    let part = self.part(ty);
                    quote!(__p::Piece::Part(#part),)
                })
                .collect();
            parts
        };
        match bare(ty) {
            Type::Path(path) if path.qself.is_none() => self.path(&path.path),
            Type::Tuple(tuple) => {
                let parts = parts(&mut tuple.elems.iter());
                quote!(&[__p::Piece::Word("("), #parts])
            }
            Type::Array(array) => {
                let item = parts(&mut std::iter::once(&*array.elem));
                let len = match &array.len {
                    Expr::Path(path) => self.path(&path.path),
                    len => words(len),
                };
                quote!(&[__p::Piece::Word("["), #item __p::Piece::Part(#len)])
            }
            Type::FnPtr(signature) => {
                let inputs = parts(&mut signature.inputs.iter().map(|input| &input.ty));
                let output = match &signature.output {
                    ReturnType::Default => quote!(__p::Piece::Part(&[__p::Piece::Word("(")])),
                    ReturnType::Type(_, ty) => parts(&mut std::iter::once(&**ty)),
                };
                quote!(&[__p::Piece::Word("fn"), #inputs __p::Piece::Word("->"), #output])
            }
            other => words(other),
        }
    }

    fn path(&self, path: &Path) -> TokenStream {
        let mut pieces = TokenStream::new();
        for (at, segment) in path.segments.iter().enumerate() {
            let name = &segment.ident;
            let word = name.to_string();
            if at > 0 || path.leading_colon.is_some() {
                pieces.extend(quote!(__p::Piece::Word("::"),));
            } else if let Some(param) = self.param(name).filter(|_| path.segments.len() == 1) {
                return quote!(&[__p::Piece::Param(#param)]);
            } else if name == "crate" {
                pieces.extend(quote!(__p::Piece::Crate(::core::module_path!()),));
                continue;
            } else if !types::is_primitive(name) && !KNOWN.contains(&word.as_str()) {
                pieces.extend(quote!(__p::Piece::Module(::core::module_path!()),));
            }
            pieces.extend(quote!(__p::Piece::Word(#word),));
            if let PathArguments::AngleBracketed(angle) = &segment.arguments {
                let parts = angle.args.iter().map(|argument| self.argument(argument));
                pieces.extend(quote!(#(__p::Piece::Part(#parts),)*));
            }
        }
        quote!(&[#pieces])
    }

    /// The place of a parameter of the trait.
    fn param(&self, name: &Ident) -> Option<usize> {
        let mut params = self.interface.item.generics.params.iter();
        params.position(|param| match param {
            GenericParam::Type(param) => param.ident == *name,
            GenericParam::Const(param) => param.ident == *name,
            GenericParam::Lifetime(_) => false,
        })
    }
}

/// Returns tokens as they are written, in their module.
fn words(tokens: &impl ToTokens) -> TokenStream {
    let text = tokens.to_token_stream().to_string();
    match syn::parse_str::<syn::Lit>(&text) {
        Ok(_) => quote!(&[__p::Piece::Word(#text)]),
        Err(_) => quote!(&[__p::Piece::Module(::core::module_path!()), __p::Piece::Word(#text)]),
    }
}
