//! The derive of `TS`, for the feature `describe` alone: that of `ts-rs`, of a copy of the type.
//!
//! `ts-rs` leaves out what it does not know of serde's attributes. So all of them are read here: the copy has each as one of
//! `ts-rs`'s, and one that says what TypeScript cannot be told is a mistake.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, LitStr, Path, Result, Token, Type, TypePath, Variant,
    WherePredicate, parse_quote,
};

/// Attributes of serde that change nothing, or only what else is taken when a value is read.
const HARMLESS: &[&str] = &[
    "alias",
    "borrow",
    "bound",
    "crate",
    "default",
    "deny_unknown_fields",
    "expecting",
    "getter",
    "other",
    "remote",
    "skip_deserializing",
    "skip_serializing",
    "skip_serializing_if",
    "transparent",
];

/// Those that `ts-rs` has too.
const SHARED: &[&str] =
    &["content", "flatten", "rename", "rename_all", "rename_all_fields", "skip", "tag", "untagged"];

/// Those by which a value is written or read as code of the user's has it.
const OPAQUE: &[&str] = &["with", "serialize_with", "deserialize_with"];

const HELP: &str = "say the type by `#[ts(as = \"..\")]` or `#[ts(type = \"..\")]`";

/// A part of an attribute: its name, and what follows it.
struct Setting {
    name: Ident,
    rest: TokenStream,
}

/// The parts of a place's attributes.
struct Settings {
    serde: Vec<Setting>,
    ts: Vec<Setting>,
}

impl Settings {
    /// Takes all attributes away that are not of use to a copy, and returns those of serde and `ts-rs`.
    fn take(attributes: &mut Vec<Attribute>) -> Result<Self> {
        let mut settings = Self { serde: Vec::new(), ts: Vec::new() };
        for attribute in &*attributes {
            if attribute.path().is_ident("serde") {
                settings.serde.extend(attribute.parse_args_with(parts)?);
            } else if attribute.path().is_ident("ts") {
                settings.ts.extend(attribute.parse_args_with(parts)?);
            }
        }
        attributes.retain(|attribute| ["doc", "repr"].iter().any(|kept| attribute.path().is_ident(kept)));
        Ok(settings)
    }

    fn serde(&self, name: &str) -> Option<&Setting> {
        self.serde.iter().find(|setting| setting.name == name)
    }

    fn has(&self, name: &str) -> bool {
        self.serde(name).is_some()
    }

    fn has_ts(&self, name: &str) -> bool {
        self.ts.iter().any(|setting| setting.name == name)
    }

    /// `true` if the type, or that the place is left out, is said for TypeScript.
    fn is_said(&self) -> bool {
        ["as", "type", "skip"].iter().any(|name| self.has_ts(name))
    }

    /// Adds what serde says to what is said to `ts-rs`.
    fn share(&mut self) -> Result<()> {
        let is_left_out = self.has("skip_serializing") && self.has("skip_deserializing");
        if is_left_out && !self.is_said() {
            self.say(quote!(skip));
        }
        let serde = std::mem::take(&mut self.serde);
        for setting in &serde {
            let name = setting.name.to_string();
            let name = name.as_str();
            if OPAQUE.contains(&name) {
                if !self.is_said() {
                    let message =
                        format!("what `{name}` makes of a value is not known to TypeScript: {HELP}");
                    return Err(Error::new(setting.name.span(), message));
                }
            } else if SHARED.contains(&name) {
                if !self.has_ts(name) && !self.has_ts("skip") {
                    let rest = one_way(setting)?;
                    let name = &setting.name;
                    self.say(quote!(#name #rest));
                }
            } else if !HARMLESS.contains(&name) {
                let message =
                    format!("`{name}` of serde is not known to descriptions: {HELP} for the whole type");
                return Err(Error::new(setting.name.span(), message));
            }
        }
        self.serde = serde;
        Ok(())
    }

    fn say(&mut self, setting: TokenStream) {
        self.ts.extend(parts.parse2(setting).unwrap_or_default());
    }

    /// Adds the attribute with all that is said to `ts-rs`.
    fn put(&self, attributes: &mut Vec<Attribute>) {
        let parts = self.ts.iter().map(|Setting { name, rest }| quote!(#name #rest));
        attributes.extend((!self.ts.is_empty()).then(|| parse_quote!(#[ts(#(#parts),*)])));
    }
}

/// Reads the parts of an attribute. Their names may be words of Rust.
fn parts(input: ParseStream<'_>) -> Result<Vec<Setting>> {
    let mut all = Vec::new();
    while !input.is_empty() {
        let name = input.call(Ident::parse_any)?;
        let mut rest = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            rest.extend([input.parse::<TokenTree>()?]);
        }
        all.push(Setting { name, rest });
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(all)
}

/// Returns what a name is set to, which may be said for what is read and for what is written.
fn one_way(setting: &Setting) -> Result<TokenStream> {
    let Some(TokenTree::Group(group)) = setting.rest.clone().into_iter().next() else {
        return Ok(setting.rest.clone());
    };
    let ways = parts.parse2(group.stream())?;
    match &ways[..] {
        [one, other] if one.rest.to_string() == other.rest.to_string() => Ok(one.rest.clone()),
        _ => {
            let name = &setting.name;
            let message = format!(
                "`{name}` differs for what is read and what is written, and TypeScript has one type for both"
            );
            Err(Error::new(name.span(), message))
        }
    }
}

/// Returns the text or type that a part of an attribute is set to.
fn value<T: syn::parse::Parse>(setting: &Setting) -> Result<T> {
    let text = |input: ParseStream<'_>| {
        input.parse::<Token![=]>()?;
        input.parse::<LitStr>()
    };
    text.parse2(setting.rest.clone())?.parse()
}

/// Returns the implementation of `TS`, or the mistakes.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    syn::parse2(item).and_then(described).unwrap_or_else(Error::into_compile_error)
}

fn described(mut item: DeriveInput) -> Result<TokenStream> {
    let mut settings = Settings::take(&mut item.attrs)?;
    let krate = library(&mut settings)?;
    if settings.has_ts("rename") && settings.has("tag") && matches!(item.data, Data::Struct(_)) {
        let message = "the name is what `tag` has: rename the type by `#[serde(rename = \"..\")]`";
        return Err(Error::new(item.ident.span(), message));
    }
    let whole = if settings.is_said() { None } else { wire_type(&settings, &item.data)? };
    if let Some(ty) = whole {
        let ty = ty.to_token_stream().to_string();
        settings.say(quote!(as = #ty));
    }
    let is_said = settings.is_said();
    if is_said {
        settings.serde.retain(|setting| setting.name == "rename");
    }
    settings.share()?;
    match &mut item.data {
        data if is_said => strip(data),
        Data::Struct(data) => fields(&mut data.fields, &settings)?,
        Data::Enum(data) => data.variants.iter_mut().try_for_each(|one| variant(one, &settings))?,
        Data::Union(_) => return Err(Error::new(item.ident.span(), "a union has no form on the wire")),
    }
    if !settings.has_ts("rename") {
        let name = item.ident.unraw().to_string();
        settings.say(quote!(rename = #name));
    }
    let ts_rs = quote!(#krate::describe::ts_rs).to_string();
    settings.say(quote!(crate = #ts_rs));
    settings.put(&mut item.attrs);
    if !settings.has_ts("concrete") && !settings.has_ts("bound") {
        // One that is only in what is left out is asked as well.
        let params: Vec<_> = item.generics.type_params().map(|param| param.ident.clone()).collect();
        let bounds = params.iter().map(|param| -> WherePredicate { parse_quote!(#param: ts_rs::TS) });
        item.generics.make_where_clause().predicates.extend(bounds);
    }
    Ok(delegated(&krate, item))
}

/// Takes the path of the library out.
fn library(settings: &mut Settings) -> Result<Path> {
    let Some(at) = settings.ts.iter().position(|setting| setting.name == "crate") else {
        return Ok(parse_quote!(::capnode));
    };
    let setting = settings.ts.remove(at);
    let path = |input: ParseStream<'_>| {
        input.parse::<Token![=]>()?;
        input.call(Path::parse_mod_style)
    };
    value(&setting).or_else(|_: Error| path.parse2(setting.rest))
}

/// Returns the type that stands for the whole one on the wire, if another does.
fn wire_type(settings: &Settings, data: &Data) -> Result<Option<Type>> {
    let inner = match data {
        Data::Struct(data) => inner(&data.fields)?,
        _ => None,
    };
    let read = settings.serde("from").or_else(|| settings.serde("try_from"));
    match (read, settings.serde("into")) {
        (None, None) if !settings.has("transparent") => Ok(None),
        (None, None) => match (inner, data) {
            (Some(inner), _) => Ok(Some(inner)),
            // It is what it has.
            (None, Data::Struct(data))
                if matches!(data.fields, Fields::Unnamed(_)) && data.fields.len() == 1 =>
            {
                Ok(None)
            }
            _ => Err(Error::new(Span::call_site(), format!("it is not known what is written: {HELP}"))),
        },
        (read, written) => {
            let types = [read, written].map(|setting| setting.map(value::<Type>).transpose());
            let [read_type, written_type] = types;
            let (read_type, written_type) = (read_type?.or_else(|| inner.clone()), written_type?.or(inner));
            let same =
                |a: &Type, b: &Type| a.to_token_stream().to_string() == b.to_token_stream().to_string();
            match (read_type, written_type) {
                (Some(read), Some(written)) if same(&read, &written) => Ok(Some(read)),
                _ => {
                    let at = read.or(written).map_or_else(Span::call_site, |setting| setting.name.span());
                    let message = format!(
                        "what is read differs from what is written, and TypeScript has one type for both: {HELP}"
                    );
                    Err(Error::new(at, message))
                }
            }
        }
    }
}

/// Returns the type of the one field that a type is written as: of a tuple's, or what `transparent` finds.
fn inner(fields: &Fields) -> Result<Option<Type>> {
    let mut types = Vec::new();
    for field in fields {
        let settings = Settings::take(&mut field.attrs.clone())?;
        let is_marker = matches!(&field.ty, Type::Path(TypePath { path, .. })
            if path.segments.last().is_some_and(|last| last.ident == "PhantomData"));
        if !settings.has("skip") && !is_marker {
            let is_plain = !settings.is_said() && !OPAQUE.iter().any(|name| settings.has(name));
            types.push(is_plain.then(|| field.ty.clone()));
        }
    }
    if types.len() == 1 { Ok(types.pop().flatten()) } else { Ok(None) }
}

fn variant(variant: &mut Variant, whole: &Settings) -> Result<()> {
    let mut settings = Settings::take(&mut variant.attrs)?;
    settings.share()?;
    settings.put(&mut variant.attrs);
    if settings.is_said() {
        strip_fields(&mut variant.fields);
        return Ok(());
    }
    fields(&mut variant.fields, whole)
}

fn fields(fields: &mut Fields, whole: &Settings) -> Result<()> {
    for field in fields {
        let mut settings = Settings::take(&mut field.attrs)?;
        settings.share()?;
        let has = |name| settings.has(name);
        if let Some(unread) =
            settings.serde("skip_deserializing").filter(|_| whole.has("deny_unknown_fields"))
        {
            if !settings.is_said() {
                let message = "what is written here is refused when it is read, by `deny_unknown_fields`, and TypeScript has \
                               one type for both";
                return Err(Error::new(unread.name.span(), message));
            }
        }
        let omitted =
            ["skip_serializing", "skip_serializing_if"].into_iter().find_map(|name| settings.serde(name));
        let is_option = matches!(&field.ty, Type::Path(TypePath { path, .. })
            if path.segments.last().is_some_and(|last| last.ident == "Option"));
        let is_plain =
            !settings.has_ts("skip") && !settings.has_ts("optional") && !settings.has_ts("flatten");
        if let Some(omitted) = omitted.filter(|_| is_plain && field.ident.is_some()) {
            if !whole.has("default") && !has("default") && !is_option {
                let name = &omitted.name;
                let message = format!("what `{name}` leaves out is not read back: add `#[serde(default)]`");
                return Err(Error::new(name.span(), message));
            }
            settings.say(quote!(optional = nullable));
        }
        settings.put(&mut field.attrs);
    }
    Ok(())
}

/// Takes the attributes away inside of a type whose form is said for the whole.
fn strip(data: &mut Data) {
    match data {
        Data::Struct(data) => strip_fields(&mut data.fields),
        Data::Enum(data) => data.variants.iter_mut().for_each(|variant| {
            variant.attrs.clear();
            strip_fields(&mut variant.fields);
        }),
        Data::Union(_) => {}
    }
}

fn strip_fields(fields: &mut Fields) {
    fields.iter_mut().for_each(|field| field.attrs.clear());
}

/// Returns the copy, and the implementation that asks it.
fn delegated(krate: &Path, mut copy: DeriveInput) -> TokenStream {
    let name = copy.ident.clone();
    copy.ident = format_ident!("Copy{}__", name.unraw());
    // Its name is that of an associated type.
    copy.vis = parse_quote!(pub);
    let ident = &copy.ident;
    let (params, arguments, clause) = copy.generics.split_for_impl();
    let predicates = clause.iter().flat_map(|clause| &clause.predicates);
    let bound = (!copy.generics.params.is_empty()).then(|| quote!(#ident #arguments: ts_rs::TS,));
    quote! {
        const _: () = {
            use #krate::describe::ts_rs;
            use #krate::__private as __p;
            #[derive(ts_rs::TS)]
            #[allow(dead_code, unreachable_pub, unnameable_types, clippy::all)]
            #[doc(hidden)]
            #copy
            #[automatically_derived]
            impl #params ts_rs::TS for #name #arguments where #(#predicates,)* #bound {
                type WithoutGenerics = <#ident #arguments as ts_rs::TS>::WithoutGenerics;
                type OptionInnerType = Self;
                const IS_ENUM: bool = <#ident #arguments as ts_rs::TS>::IS_ENUM;
                fn docs() -> __p::Option<__p::String> { <#ident #arguments as ts_rs::TS>::docs() }
                fn ident(c: &ts_rs::Config) -> __p::String { <#ident #arguments as ts_rs::TS>::ident(c) }
                fn decl(c: &ts_rs::Config) -> __p::String { <#ident #arguments as ts_rs::TS>::decl(c) }
                fn decl_concrete(c: &ts_rs::Config) -> __p::String { <#ident #arguments as ts_rs::TS>::decl_concrete(c) }
                fn name(c: &ts_rs::Config) -> __p::String { <#ident #arguments as ts_rs::TS>::name(c) }
                fn inline(c: &ts_rs::Config) -> __p::String { <#ident #arguments as ts_rs::TS>::inline(c) }
                fn inline_flattened(c: &ts_rs::Config) -> __p::String { <#ident #arguments as ts_rs::TS>::inline_flattened(c) }
                fn output_path() -> __p::Option<__p::PathBuf> { <#ident #arguments as ts_rs::TS>::output_path() }
                fn visit_dependencies(v: &mut impl ts_rs::TypeVisitor) where Self: 'static {
                    __p::accounted::<Self>();
                    <#ident #arguments as ts_rs::TS>::visit_dependencies(v);
                }
                fn visit_generics(v: &mut impl ts_rs::TypeVisitor) where Self: 'static {
                    <#ident #arguments as ts_rs::TS>::visit_generics(v);
                }
            }
        };
    }
}
