//! Mistakes beside those in `tests/ui/fail`: each gives one message, and always the same.

use crate::expand_interface;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{File, Item, LitStr};

fn messages(options: TokenStream, item: TokenStream) -> Vec<String> {
    let file: File = syn::parse2(expand_interface(options, item)).unwrap();
    let errors = file.items.into_iter().filter_map(|item| match item {
        Item::Macro(item) if item.mac.path.segments.last()?.ident == "compile_error" => {
            Some(syn::parse2::<LitStr>(item.mac.tokens).unwrap().value())
        }
        _ => None,
    });
    errors.collect()
}

fn of_trait(item: TokenStream) -> Vec<String> {
    messages(TokenStream::new(), item)
}

fn of_method(method: TokenStream) -> Vec<String> {
    of_trait(quote!(pub trait Chat { async fn fine(&self); #method }))
}

fn of_options(options: TokenStream) -> Vec<String> {
    messages(
        options,
        quote!(
            pub trait Chat {
                async fn fine(&self);
            }
        ),
    )
}

/// One mistake, one message, and the stand-in still has the trait and the client.
macro_rules! refused {
    ($($rule:ident: $of:ident($($tokens:tt)*) => $message:expr;)*) => { $(
        #[test]
        fn $rule() {
            assert_eq!($of(quote!($($tokens)*)), [$message]);
        }
    )* };
}

const SPECIAL: &str = "a `Func` is of a plain `fn` type: write `Func<fn(..) -> ..>`";

// Items that are no interface.
refused! {
    an_alias_of_traits: of_trait(trait Both = One + Other;) =>
        "an interface is a trait with methods: write `#[capnode::interface(extends(One, Other))]` above `trait Both {}`";
    an_auto_trait: of_trait(auto trait Chat {}) =>
        "an interface can't be an `auto` trait, since an object implements its methods: leave it out";
    // Methods.
    no_arguments_at_all: of_method(async fn say();) =>
        "a method is called on an object: write `async fn say(&self, ..)`";
    mut_self_by_value: of_method(async fn say(mut self) {}) =>
        "a method can't consume the object, which others may hold too: write `&self`";
    variadic: of_method(async fn say(&self, text: &str, ...);) =>
        "a method has a fixed number of arguments: take a `Vec<T>`";
    // Arguments and their names.
    two_arguments_of_one_name: of_method(async fn say(&self, a: u8, a: u8);) =>
        "another argument has this name too: rename one";
    an_attribute_of_an_argument: of_method(async fn say(&self, #[cfg(unix)] a: u8);) =>
        "an argument has no attributes, since its place in the call is fixed: leave it out";
    // Types of arguments.
    impl_trait_inside: of_method(async fn say(&self, text: Vec<impl Fn()>);) =>
        "the other side must know this type: write a concrete one, or `Func<fn(..) -> ..>` to take a closure";
    a_borrow_of_a_borrow: of_method(async fn say(&self, text: &&str);) =>
        "only a whole argument can be a borrow, as in `&str`, `&[T]` or `&T`: own what is inside, as in `Vec<String>`";
    a_str: of_method(async fn say(&self, text: str);) => "an argument can't be a bare `str`: write `&str` or `String`";
    a_slice: of_method(async fn say(&self, text: [Vec<u8>]);) =>
        "an argument can't be a bare slice: write `&[Vec<u8>]` or `Vec<Vec<u8>>`";
    a_borrow_of_a_reader: of_method(async fn say(&self, text: &Reader<u8>);) =>
        "a stream has one holder at a time, and is not lent: take `Reader<u8>`";
    a_mut_borrow_of_a_writer: of_method(async fn say(&self, text: &mut capnode::Writer<u8>);) =>
        "a stream has one holder at a time, and is not lent: take `capnode::Writer<u8>`";
    a_func_that_borrows_inside: of_method(async fn say(&self, to: Option<Func<fn() -> Vec<&'static str>>>);) =>
        "a `Func` takes and returns owned values: write `Func<fn(String)>` for `Func<fn(&str)>`";
    an_unsafe_func: of_method(async fn say(&self, to: Func<unsafe fn()>);) => SPECIAL;
    an_extern_func: of_method(async fn say(&self, to: Func<extern "C" fn()>);) => SPECIAL;
    // Types of results.
    a_result_with_a_lifetime: of_method(async fn topic(&self) -> Cow<'_, str>;) =>
        "a result can't borrow from the object, which may be remote: return a type that owns it";
    the_implementation_as_result: of_method(async fn topic(&self) -> Self;) =>
        "`Self` is unknown to the callers: write the client of the interface, or a concrete type";
    a_func_that_borrows_as_result: of_method(async fn topic(&self) -> Func<fn(&str)>;) =>
        "a `Func` takes and returns owned values: write `Func<fn(String)>` for `Func<fn(&str)>`";
    // Names.
    conditions_that_are_the_same: of_method(#[cfg(a)] async fn say(&self); #[cfg(a)] async fn say(&self);) =>
        "another method is called `say` too: rename one";
    no_wire_name_after_conversion: of_method(async fn __(&self);) =>
        "the name on the wire is empty: write `#[capnode(name = \"..\")]` with one";
    // Options.
    an_option_that_is_no_string: of_options(name = Chat) => "`name` takes a string: write `name = \"..\"`";
    no_path_in_the_string: of_options(crate = "3") => "`crate` takes the path of capnode: write `crate = ::capnode`";
    no_paths_as_parents: of_options(extends(3 + 4)) =>
        "`extends` takes the traits extended: write `extends(Parent, Other<u32>)`";
    one_parent_twice: of_options(extends(Named, Named)) =>
        "`Named` is extended twice, also if its type parameters differ, since its methods would have two meanings under one name: keep one, and hand the object out as `NamedClient` for the other";
    a_closure_trait_as_parent: of_options(extends(Fn(u8) -> u8)) =>
        "`extends` takes the traits extended: write `extends(Parent, Other<u32>)`";
    no_comma: of_options(name = "a" rename_all = "camelCase") =>
        "unexpected text after `name`: write a comma before the next option";
    a_flag_with_a_value: of_method(#[capnode(property = true)] async fn say(&self);) =>
        "unexpected text after `property`: write a comma before the next option";
}

#[test]
fn each_reserved_name_is_refused() {
    let names = "then catch finally map dup onRpcBroken constructor prototype toString toJSON valueOf hasOwnProperty
        isPrototypeOf propertyIsEnumerable toLocaleString __proto__ __defineGetter__ __defineSetter__ __lookupGetter__
        __lookupSetter__";
    for name in names.split_whitespace() {
        let messages = of_method(quote!(
            #[capnode(name = #name)]
            async fn say(&self);
        ));
        assert_eq!(messages.len(), 1, "{name}");
        assert!(messages[0].starts_with(&format!("`{name}` means something else")), "{name}");
    }
}

#[test]
fn opposite_conditions_may_share_a_name() {
    let both = quote! {
        #[cfg(unix)] async fn say(&self);
        #[cfg(not(unix))] async fn say(&self, text: &str);
    };
    assert!(of_method(both).is_empty());
}

#[test]
fn different_conditions_may_share_a_name() {
    let three = quote! {
        #[cfg(target_os = "linux")] async fn say(&self, x: u8);
        #[cfg(target_os = "macos")] async fn say(&self);
        #[cfg(target_os = "windows")] async fn say(&self, y: String);
    };
    assert!(of_method(three).is_empty());
}

#[test]
fn a_name_of_its_own_frees_a_method_from_a_reserved_one() {
    assert!(
        of_method(quote!(
            #[capnode(name = "andThen")]
            async fn then(&self);
        ))
        .is_empty()
    );
}

#[test]
fn what_cannot_be_an_interface_leaves_its_item_alone() {
    let item = quote!(
        struct Chat;
    );
    let expansion = expand_interface(TokenStream::new(), item.clone()).to_string();
    assert!(expansion.ends_with(&item.to_string()));
}

#[test]
fn a_stand_in_has_the_trait_the_client_and_all_methods() {
    let item = quote! {
        pub trait Chat {
            async fn fine(&self, n: u32) -> u32;
            async fn wrong(&mut self, text: &str) -> &str;
        }
    };
    let file: File = syn::parse2(expand_interface(TokenStream::new(), item)).unwrap();
    let text = prettyplease::unparse(&file);
    for line in [
        "pub struct ChatClient(::capnode::Cap);",
        "async fn wrong(&mut self, text: &str) -> &str;",
        "pub fn fine(&self, n: u32) -> __p::Call<u32, __p::Error> {",
        "pub fn wrong(&self, text: &str) -> __p::Call<__p::Owned<str>, __p::Error> {",
        "impl<__T: Chat> __p::Serve<__T> for ChatClient {",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
