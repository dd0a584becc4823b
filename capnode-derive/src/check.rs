//! The rules of an interface. Each message says what is wrong and what to write instead.

use crate::model::{Argument, Interface, Method};
use crate::names::plain;
use crate::problems::Problems;
use crate::types::{self, Flaw, FlawKind, MOST_FUNC_ARGUMENTS};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use std::collections::HashSet;
use syn::{
    Attribute, FnArg, GenericParam, Lifetime, Meta, Pat, Receiver, ReceiverKind, Safety, TraitItem,
    Type,
};

/// The most arguments a method takes.
const MOST_ARGUMENTS: usize = 12;

/// Names that a JavaScript peer can't call: its stubs use them, or `Object.prototype` has them.
const RESERVED: [&str; 19] = [
    "then",
    "catch",
    "finally",
    "map",
    "dup",
    "onRpcBroken",
    "constructor",
    "toString",
    "toJSON",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

/// Reports every rule that `interface` breaks, and notes which methods have a sound signature.
pub(crate) fn check(interface: &mut Interface, problems: &mut Problems) {
    check_trait(interface, problems);
    // Then `Self::Item` is the same mistake once more.
    let may_name_items = !interface.item.items.is_empty();
    for method in &mut interface.methods {
        let before = problems.len();
        check_method(method, may_name_items, problems);
        method.sound = problems.len() == before;
        check_attributes(method, problems);
        check_wire_name(method, problems);
    }
    check_names_differ(&interface.methods, problems);
}

fn check_trait(interface: &Interface, problems: &mut Problems) {
    let item = &interface.item;
    if let Some(token) = &item.unsafety {
        problems.at(token, "an interface can't be `unsafe`: its callers are elsewhere and promise nothing");
    }
    if let Some(token) = &item.modifiers.auto_token {
        problems.at(token, "an interface can't be an `auto` trait: an object implements it by its methods");
    }
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("capnode")) {
        problems.at(attribute, "options of the trait go in `#[capnode::interface(..)]`");
    }
    for param in &item.generics.params {
        if let GenericParam::Lifetime(param) = param {
            problems.at(
                param,
                "an interface has no lifetime parameters: its objects are shared and outlive every \
                 borrow; write a type parameter, or take owned types",
            );
        }
    }
    for member in &item.items {
        let message = match member {
            TraitItem::Type(_) => {
                "an interface has no associated types, since its client stands for any object: \
                 write a type parameter of the trait, `trait Store<Item>`"
            }
            TraitItem::Const(_) => {
                "an interface has no constants, since its objects may be elsewhere: write a method \
                 that returns the value"
            }
            _ => "an interface has only methods: write out what the macro would make",
        };
        problems.at(member, message);
    }
}

fn check_method(method: &Method, may_name_items: bool, problems: &mut Problems) {
    let signature = &method.item.sig;
    let name = &signature.ident;
    if let Some(token) = &signature.constness {
        problems.at(token, "a method of an interface can't be `const`: it answers calls from elsewhere");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        problems.at(token, "a method of an interface can't be `unsafe`: a caller elsewhere promises nothing");
    }
    if let Some(abi) = &signature.abi {
        problems.at(abi, format!("a method of an interface has no ABI: write `async fn {name}`"));
    }
    if signature.asyncness.is_none() && signature.constness.is_none() {
        let message = format!(
            "a method of an interface is `async`, since the object may be elsewhere: write \
             `async fn {name}`"
        );
        problems.at(quote_to(&signature.fn_token, name), message);
    }
    check_receiver(method, problems);
    check_generics(method, problems);
    for argument in &method.arguments {
        check_argument(argument, may_name_items, problems);
    }
    check_count(method, problems);
    if let Some(flaw) = Flaw::find(method.output.ty()).filter(|flaw| reported(flaw, may_name_items)) {
        problems.at(&flaw.at, of_result(&flaw));
    }
}

fn check_receiver(method: &Method, problems: &mut Problems) {
    let name = method.ident();
    match method.item.sig.inputs.first() {
        Some(FnArg::Receiver(receiver)) => {
            if let Some(message) = of_receiver(receiver) {
                problems.at(receiver, message);
            }
        }
        _ => {
            let message = format!(
                "a method of an interface is called on an object: write `async fn {name}(&self, ..)`"
            );
            problems.at(name, message);
        }
    }
}

fn of_receiver(receiver: &Receiver) -> Option<&'static str> {
    match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => None,
        ReceiverKind::Reference(_, _, Some(_)) => Some(
            "an object is shared by all who hold a reference to it: write `&self`, and keep what \
             changes in a `Mutex` or an atomic",
        ),
        ReceiverKind::Reference(_, Some(_), None) => {
            Some("a lifetime can't cross to another program: write `&self`")
        }
        ReceiverKind::Value => Some(
            "a call doesn't consume the object, which others may hold too: write `&self`",
        ),
        _ => Some("an object is lent to its methods: write `&self`"),
    }
}

fn check_generics(method: &Method, problems: &mut Problems) {
    let generics = &method.item.sig.generics;
    let is_lifetime = |param: &GenericParam| matches!(param, GenericParam::Lifetime(_));
    if let Some(param) = generics.params.iter().find(|param| !is_lifetime(param)) {
        problems.at(
            param,
            "a method of an interface has no type parameters: the other side must know each type; \
             write a concrete type, or make it a parameter of the trait",
        );
    } else if let Some(clause) = &generics.where_clause {
        problems.at(clause, "a method of an interface has no `where` clause: write it on the trait");
    } else if let Some(param) = generics.params.first() {
        problems.at(param, "a lifetime can't cross to another program: leave it out, as in `text: &str`");
    }
}

fn check_argument(argument: &Argument, may_name_items: bool, problems: &mut Problems) {
    let written = &argument.written;
    for attribute in &written.attrs {
        problems.at(attribute, "an argument of an interface has no attributes: every caller sends the same ones");
    }
    match &*written.pat {
        Pat::Ident(pat) if pat.by_ref.is_some() || pat.subpat.is_some() => {
            problems.at(pat, format!("an argument has a plain name here: write `{}`", pat.ident));
        }
        Pat::Ident(pat) => {
            if let Some(token) = &pat.mutability {
                let name = &pat.ident;
                let message = format!(
                    "an argument has a plain name here: write `{name}`, and `mut {name}` in the `impl`"
                );
                problems.at(token, message);
            }
        }
        Pat::Wild(pat) => problems.at(
            pat,
            "an argument needs a name, which callers read: write one, as in `_reason` if it is not used",
        ),
        pat => problems.at(
            pat,
            "an argument has a plain name here: write one, and take it apart in the `impl`",
        ),
    }
    check_argument_type(&written.ty, may_name_items, problems);
}

fn check_argument_type(ty: &Type, may_name_items: bool, problems: &mut Problems) {
    let Type::Reference(reference) = types::bare(ty) else {
        match types::bare(ty) {
            Type::Slice(slice) => {
                let item = &slice.elem;
                let message = format!("a slice is borrowed: write `&[{0}]` or `Vec<{0}>`", text(item));
                problems.at(ty, message);
            }
            Type::Path(path) if path.path.is_ident("str") => {
                problems.at(ty, "`str` is borrowed: write `&str` or `String`");
            }
            _ => {
                if let Some(flaw) = Flaw::find(ty).filter(|flaw| reported(flaw, may_name_items)) {
                    problems.at(&flaw.at, of_argument(&flaw));
                }
            }
        }
        return;
    };
    let owned = owned(&reference.elem);
    if reference.mutability.is_some() {
        let message = format!(
            "changes to an argument don't travel back: take `{owned}` and return what it becomes"
        );
        problems.at(ty, message);
    } else if reference.lifetime.as_ref().is_some_and(is_static) {
        let lent = text(&reference.elem);
        problems.at(ty, format!("what a caller sends is lent for the call only: write `&{lent}` or `{owned}`"));
    } else if let Some(flaw) = Flaw::find(&reference.elem).filter(|flaw| reported(flaw, may_name_items)) {
        // `&dyn T` is one mistake, and reads best as a whole.
        let whole = matches!(flaw.kind, FlawKind::Dyn | FlawKind::Impl | FlawKind::Reference);
        let at = if whole && !flaw.in_func { ty.to_token_stream() } else { flaw.at.clone() };
        problems.at(at, of_argument(&flaw));
    }
}

fn check_count(method: &Method, problems: &mut Problems) {
    let signature = &method.item.sig;
    if let Some(variadic) = &signature.variadic {
        problems.at(variadic, "a method of an interface has a fixed number of arguments: write a `Vec<T>`");
    }
    if let Some(extra) = method.arguments.get(MOST_ARGUMENTS) {
        let message = format!(
            "a method of an interface takes at most {MOST_ARGUMENTS} arguments: put some of them in a struct"
        );
        problems.at(&extra.written, message);
    }
    let mut seen = HashSet::new();
    for argument in &method.arguments {
        if !seen.insert(&argument.name) {
            let message = format!("two arguments are called `{}`: rename one", argument.name);
            problems.at(&argument.name, message);
        }
    }
    if method.is_property() {
        if let Some(argument) = method.arguments.first() {
            problems.at(
                &argument.written,
                "a property is read without arguments: leave them out, or leave out `property`",
            );
        }
    }
}

fn check_attributes(method: &Method, problems: &mut Problems) {
    let conditional = method.attributes("cfg_attr").filter(|attribute| match &attribute.meta {
        Meta::List(list) => mentions(list.tokens.clone(), &["cfg", "capnode"]),
        _ => false,
    });
    for attribute in conditional {
        problems.at(
            attribute,
            "`cfg_attr` is not seen through here: declare the method twice, under `#[cfg(..)]` and \
             `#[cfg(not(..))]`",
        );
    }
}

fn check_wire_name(method: &Method, problems: &mut Problems) {
    let wire_name = &method.wire_name;
    let message = if wire_name.is_empty() {
        "the name on the wire is empty: give it one with `#[capnode(name = \"..\")]`".to_owned()
    } else if RESERVED.contains(&wire_name.as_str()) {
        format!(
            "every JavaScript object has a `{wire_name}` of its own, so that no method can have this \
             name on the wire: give it another with `#[capnode(name = \"..\")]`"
        )
    } else {
        return;
    };
    problems.at_span(wire_name_span(method), message);
}

fn check_names_differ(methods: &[Method], problems: &mut Problems) {
    for (index, method) in methods.iter().enumerate() {
        let (name, wire_name) = (method.ident(), &method.wire_name);
        let earlier = methods.iter().take(index).filter(|earlier| !exclude(earlier, method));
        for earlier in earlier {
            if earlier.ident() == name {
                problems.at(name, format!("two methods are called `{name}`: rename one"));
            } else if earlier.wire_name == *wire_name && !wire_name.is_empty() {
                let message = format!(
                    "`{}` and `{name}` are both `{wire_name}` on the wire: give one another name with \
                     `#[capnode(name = \"..\")]`",
                    earlier.ident()
                );
                problems.at_span(wire_name_span(method), message);
            } else {
                continue;
            }
            break;
        }
    }
}

/// Whether two methods are never there together: `#[cfg(x)]` and `#[cfg(not(x))]`.
fn exclude(one: &Method, other: &Method) -> bool {
    let condition = |cfg: &Attribute| match &cfg.meta {
        Meta::List(list) => list.tokens.to_string(),
        _ => String::new(),
    };
    let negated = |cfg: &Attribute| match &cfg.meta {
        Meta::List(list) => {
            let tokens = &list.tokens;
            quote!(not(#tokens)).to_string()
        }
        _ => String::new(),
    };
    one.cfgs().any(|one| {
        other.cfgs().any(|other| condition(one) == negated(other) || negated(one) == condition(other))
    })
}

fn wire_name_span(method: &Method) -> proc_macro2::Span {
    match &method.options.name {
        Some(name) => name.span(),
        None => method.ident().span(),
    }
}

fn of_argument(flaw: &Flaw) -> String {
    if flaw.in_func && matches!(flaw.kind, FlawKind::Reference | FlawKind::Lifetime) {
        return "a function gets its arguments and gives its result owned: write `fn(String)`, not \
                `fn(&str)`"
            .to_owned();
    }
    match flaw.kind {
        FlawKind::Reference | FlawKind::Lifetime => {
            "only a whole argument can be borrowed, as in `&str`, `&[T]` or `&T`: own what is inside, \
             as in `Vec<String>`"
                .to_owned()
        }
        _ => of_any(flaw.kind),
    }
}

fn of_result(flaw: &Flaw) -> String {
    match flaw.kind {
        FlawKind::Reference | FlawKind::Lifetime if !flaw.in_func => {
            let instead = syn::parse2::<Type>(flaw.at.clone()).ok().and_then(|ty| match ty {
                Type::Reference(reference) => Some(owned(&reference.elem)),
                _ => None,
            });
            match instead {
                Some(owned) => format!("a result can't borrow from the object, which may be elsewhere: return `{owned}`"),
                None => "a result can't borrow from the object, which may be elsewhere: return an owned type".to_owned(),
            }
        }
        FlawKind::Reference | FlawKind::Lifetime => of_argument(flaw),
        _ => of_any(flaw.kind),
    }
}

fn of_any(kind: FlawKind) -> String {
    match kind {
        FlawKind::Reference | FlawKind::Lifetime => "own what is borrowed here",
        FlawKind::MutReference => "changes to an argument don't travel back: take it by value",
        FlawKind::Dyn => {
            "a trait object can't travel: write the client of an interface, as in `ChatClient`, or a \
             concrete type"
        }
        FlawKind::Impl => {
            "the other side must know this type: write a concrete one, or `Func<fn(..) -> ..>` for a \
             closure"
        }
        FlawKind::BareFn => "a function pointer can't travel: write `Func<fn(..) -> ..>`",
        FlawKind::Inferred => "a type can't be inferred here: write it out",
        FlawKind::Implementor => {
            "`Self` is a type that only the implementation has: write the client of the interface, or \
             a concrete type"
        }
        FlawKind::FuncOfNoFn => {
            "`Func` takes the type of a function: write `Func<fn(String) -> u32>`, or `Func<fn()>` \
             for one without arguments"
        }
        FlawKind::FuncOfSpecialFn => {
            "a function that travels is an ordinary one: write `Func<fn(..) -> ..>` without `unsafe`, \
             `extern` or `...`"
        }
        FlawKind::FuncOfTooMany => {
            return format!(
                "a `Func` takes at most {MOST_FUNC_ARGUMENTS} arguments: put some of them in a struct"
            );
        }
    }
    .to_owned()
}

fn reported(flaw: &Flaw, may_name_items: bool) -> bool {
    !(may_name_items && flaw.kind == FlawKind::Implementor)
}

fn is_static(lifetime: &Lifetime) -> bool {
    lifetime.ident == "static"
}

/// The owned form of what `&T` borrows, for a message.
fn owned(borrowed: &Type) -> String {
    match types::bare(borrowed) {
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        other => text(other),
    }
}

/// Tokens as a person would write them.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for tight in [" < ", " <", "< ", " >", " , ", " ,", "& ", " :: ", ":: ", "[ ", " ]", "( ", " )", " ("] {
        let replacement = if tight.contains(',') { ", " } else { tight.trim() };
        text = text.replace(tight, replacement);
    }
    text.trim_end().to_owned()
}

fn quote_to(first: &impl ToTokens, last: &Ident) -> TokenStream {
    quote!(#first #last)
}

fn mentions(tokens: TokenStream, words: &[&str]) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(ident) => words.contains(&plain(&ident).as_str()),
        proc_macro2::TokenTree::Group(group) => mentions(group.stream(), words),
        _ => false,
    })
}
