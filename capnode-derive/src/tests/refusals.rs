//! The catalogue of messages: each mistake gives one, and always the same.

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

const LENT: &str = "only a whole argument can be a borrow, as in `&str`, `&[T]` or `&T`: own what is inside, as in `Vec<String>`";
const DYN: &str = "a trait object can't be sent: write the client of an interface, as in `ChatClient`, or a type that serializes";
const IMPL: &str =
    "the other side must know this type: write a concrete one, or `Func<fn(..) -> ..>` to take a closure";
const SELF: &str = "`Self` is unknown to the callers: write the client of the interface, or a concrete type";
const OWNS: &str = "a `Func` takes and returns owned values: write `Func<fn(String)>` for `Func<fn(&str)>`";
const SPECIAL: &str = "a `Func` is of a plain `fn` type: write `Func<fn(..) -> ..>`";
const TWICE: &str = "`Named` is extended twice, also if its type parameters differ, since its methods would have two meanings under one name: keep one, and hand the object out as `NamedClient` for the other";
const LIFETIME: &str = "a method has no lifetime parameters, since a borrow lasts for the call only: leave it out, as in `text: &str`";
const SHARED: &str = "an object is shared by all who hold a reference to it: write `&self`, and keep what changes in a `Mutex` or an atomic";
const CONSUMED: &str = "a method can't consume the object, which others may hold too: write `&self`";

// What is no interface.
refused! {
    a_struct: of_trait(struct Chat;) =>
        "an interface is a trait: write this above the trait that the type implements";
    an_impl: of_trait(impl Chat for Room {}) =>
        "an interface is a trait: write this above the trait; its `impl`s need no attribute";
    a_function: of_trait(fn chat() {}) => "an interface is a trait: write this above one";
    an_alias_of_traits: of_trait(trait Both = One + Other;) =>
        "an interface is a trait with methods: write `#[capnode::interface(extends(One, Other))]` above `trait Both {}`";
    an_unsafe_trait: of_trait(unsafe trait Chat {}) =>
        "an interface can't be `unsafe`, since a remote caller can't promise anything: leave it out";
    an_auto_trait: of_trait(auto trait Chat {}) =>
        "an interface can't be an `auto` trait, since an object implements its methods: leave it out";
    a_lifetime_of_the_trait: of_trait(trait Chat<'a> {}) =>
        "an interface has no lifetime parameters, since its objects outlive every borrow: leave it out and own what is borrowed";
    a_misplaced_attribute: of_trait(#[capnode(name = "chat")] trait Chat {}) =>
        "`#[capnode(..)]` is for methods: write the options of the trait in `#[capnode::interface(..)]`";
    an_associated_type: of_method(type Item; async fn get(&self) -> Self::Item;) =>
        "an interface has no associated types, since a client stands for any object: write a type parameter, as in `trait Store<Item>`";
    a_constant: of_method(const SIZE: usize;) =>
        "an interface has no constants, since a client stands for any object: write a method that returns the value";
    a_macro: of_method(methods! {}) => "an interface has methods only: write them out here";
}

// Methods.
refused! {
    not_async: of_method(fn say(&self);) =>
        "a method must be `async`, since its object may be remote: write `async fn say`";
    const_fn: of_method(const fn say(&self);) =>
        "a method can't be `const`, since its object may be remote: write `async fn say`";
    unsafe_fn: of_method(async unsafe fn say(&self);) =>
        "a method can't be `unsafe`, since a remote caller can't promise anything: write `async fn say`";
    extern_fn: of_method(async extern "C" fn say(&self);) =>
        "a method can't be `extern`, since nothing links to it: write `async fn say`";
    no_receiver: of_method(async fn say(text: &str);) =>
        "a method is called on an object: write `async fn say(&self, ..)`";
    no_arguments_at_all: of_method(async fn say();) =>
        "a method is called on an object: write `async fn say(&self, ..)`";
    mut_self: of_method(async fn say(&mut self);) => SHARED;
    self_by_value: of_method(async fn say(self);) => CONSUMED;
    mut_self_by_value: of_method(async fn say(mut self) {}) => CONSUMED;
    self_of_a_type: of_method(async fn say(self: Arc<Self>);) => "a method borrows its object: write `&self`";
    a_type_parameter: of_method(async fn say<T: Clone>(&self, text: T) where T: Copy;) =>
        "a method has no type parameters, since the other side must know every type: write a concrete type, or a type parameter of the trait";
    a_where_clause: of_method(async fn say(&self) where Self: Sized;) =>
        "a method has no `where` clause, since a client offers all methods: write it on the trait";
    a_lifetime: of_method(async fn say<'a>(&self, text: &'a str);) => LIFETIME;
    a_lifetime_of_self: of_method(async fn say<'a>(&'a self);) => LIFETIME;
    variadic: of_method(async fn say(&self, text: &str, ...);) =>
        "a method has a fixed number of arguments: take a `Vec<T>`";
    too_many_arguments: of_method(async fn say(
        &self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8
    );) => "a method takes at most 12 arguments: put some of them in a struct";
    a_property_with_arguments: of_method(#[capnode(property)] async fn topic(&self, of: u8);) =>
        "a property is read without arguments: leave them out, or leave out `property`";
    a_conditional_condition: of_method(#[cfg_attr(unix, cfg(test))] async fn say(&self);) =>
        "what a `cfg_attr` comes to can't be known here: write the method twice, under `#[cfg(..)]` and under `#[cfg(not(..))]`";
}

// Arguments and their names.
refused! {
    a_pattern: of_method(async fn say(&self, (a, b): (u8, u8));) =>
        "an argument is a plain name here: write one, and the pattern in the `impl`";
    a_mutable_argument: of_method(async fn say(&self, mut text: String) {}) =>
        "an argument is a plain name here: write `text`, and `mut text` in the `impl`";
    a_nameless_argument: of_method(async fn say(&self, _: String);) =>
        "an argument has a name, which its callers read: write one, and `_` in the `impl`";
    two_arguments_of_one_name: of_method(async fn say(&self, a: u8, a: u8);) =>
        "another argument has this name too: rename one";
    an_attribute_of_an_argument: of_method(async fn say(&self, #[cfg(unix)] a: u8);) =>
        "an argument has no attributes, since its place in the call is fixed: leave it out";
}

// Types of arguments.
refused! {
    impl_trait: of_method(async fn say(&self, text: impl Into<String>);) => IMPL;
    impl_trait_inside: of_method(async fn say(&self, text: Vec<impl Fn()>);) => IMPL;
    dyn_trait: of_method(async fn say(&self, text: &dyn Display);) => DYN;
    dyn_trait_in_a_box: of_method(async fn say(&self, text: Box<dyn Display>);) => DYN;
    a_mut_borrow: of_method(async fn say(&self, text: &mut Vec<u8>);) =>
        "changes to an argument don't travel back: take `Vec<u8>` and return what becomes of it";
    a_static_borrow: of_method(async fn say(&self, text: &'static str);) =>
        "an argument is borrowed only during the call: write `&str` or `String`";
    a_borrow_inside: of_method(async fn say(&self, text: Vec<&str>);) => LENT;
    a_borrow_in_a_borrow: of_method(async fn say(&self, text: &[&str]);) => LENT;
    a_borrow_of_a_borrow: of_method(async fn say(&self, text: &&str);) => LENT;
    a_borrow_by_lifetime: of_method(async fn say(&self, text: Cow<'_, str>);) => LENT;
    a_str: of_method(async fn say(&self, text: str);) => "an argument can't be a bare `str`: write `&str` or `String`";
    a_slice: of_method(async fn say(&self, text: [Vec<u8>]);) =>
        "an argument can't be a bare slice: write `&[Vec<u8>]` or `Vec<Vec<u8>>`";
    a_function_pointer: of_method(async fn say(&self, then: fn(u8));) =>
        "a function pointer can't be sent: write `Func<fn(..) -> ..>`";
    the_implementation_itself: of_method(async fn say(&self, to: &Self);) => SELF;
    a_func_that_borrows: of_method(async fn say(&self, to: Func<fn(&str)>);) => OWNS;
    a_func_that_borrows_inside: of_method(async fn say(&self, to: Option<Func<fn() -> Vec<&'static str>>>);) => OWNS;
    an_unsafe_func: of_method(async fn say(&self, to: Func<unsafe fn()>);) => SPECIAL;
    an_extern_func: of_method(async fn say(&self, to: Func<extern "C" fn()>);) => SPECIAL;
    a_func_of_seven: of_method(async fn say(&self, to: Func<fn(u8, u8, u8, u8, u8, u8, u8)>);) =>
        "a `Func` takes at most 6 arguments: put some of them in a struct";
}

// Types of results.
refused! {
    a_borrowed_str: of_method(async fn topic(&self) -> &str;) =>
        "a result can't borrow from the object, which may be remote: return `String`";
    a_borrowed_slice_inside: of_method(async fn topic(&self) -> Result<Option<&[u8]>, Error>;) =>
        "a result can't borrow from the object, which may be remote: return `Vec<u8>`";
    a_result_with_a_lifetime: of_method(async fn topic(&self) -> Cow<'_, str>;) =>
        "a result can't borrow from the object, which may be remote: return a type that owns it";
    a_trait_object_as_result: of_method(async fn topic(&self) -> Box<dyn Display>;) => DYN;
    an_impl_as_result: of_method(async fn topic(&self) -> impl Display;) => IMPL;
    the_implementation_as_result: of_method(async fn topic(&self) -> Self;) => SELF;
    a_func_that_borrows_as_result: of_method(async fn topic(&self) -> Func<fn(&str)>;) => OWNS;
}

// Names.
refused! {
    one_wire_name_twice: of_method(#[capnode(name = "fine")] async fn say(&self);) =>
        "`fine` and `say` are both `fine` on the wire: give one another name with `#[capnode(name = \"..\")]`";
    one_wire_name_after_conversion: of_method(async fn set_it(&self); async fn set__it(&self);) =>
        "`set_it` and `set__it` are both `setIt` on the wire: give one another name with `#[capnode(name = \"..\")]`";
    one_name_twice: of_method(async fn fine(&self);) => "another method is called `fine` too: rename one";
    conditions_that_are_the_same: of_method(#[cfg(a)] async fn say(&self); #[cfg(a)] async fn say(&self);) =>
        "another method is called `say` too: rename one";
    no_wire_name: of_method(#[capnode(name = "")] async fn say(&self);) =>
        "the name on the wire is empty: write `#[capnode(name = \"..\")]` with one";
    no_wire_name_after_conversion: of_method(async fn __(&self);) =>
        "the name on the wire is empty: write `#[capnode(name = \"..\")]` with one";
    a_reserved_name_after_conversion: of_method(async fn to_string(&self);) =>
        "`toString` means something else to JavaScript, so that a method can't have this name on the wire: give it another with `#[capnode(name = \"..\")]`";
}

// Options.
refused! {
    an_unknown_option: of_options(rename = "x") =>
        "there is no option `rename` of an interface; there are `rename_all = \"..\"`, `name = \"..\"`, `extends(..)`, `crate = path`";
    an_option_twice: of_options(name = "a", name = "b") => "`name` is given twice: keep one";
    an_unknown_convention: of_options(rename_all = "camelcase") =>
        "unknown convention for names; there are \"lowercase\", \"UPPERCASE\", \"PascalCase\", \"camelCase\", \"snake_case\", \"SCREAMING_SNAKE_CASE\", \"kebab-case\", \"SCREAMING-KEBAB-CASE\"";
    an_option_that_is_no_string: of_options(name = Chat) => "`name` takes a string: write `name = \"..\"`";
    an_option_without_value: of_options(rename_all) => "`rename_all` takes a string: write `rename_all = \"..\"`";
    no_path_of_the_crate: of_options(crate = 3) => "`crate` takes the path of capnode: write `crate = ::capnode`";
    no_path_in_the_string: of_options(crate = "3") => "`crate` takes the path of capnode: write `crate = ::capnode`";
    no_parents: of_options(extends = Seat) =>
        "`extends` takes the traits extended: write `extends(Parent, Other<u32>)`";
    no_paths_as_parents: of_options(extends(3 + 4)) =>
        "`extends` takes the traits extended: write `extends(Parent, Other<u32>)`";
    itself_as_parent: of_options(extends(Chat)) => "an interface does not extend itself: leave it out";
    one_parent_twice: of_options(extends(Named, Named)) => TWICE;
    one_parent_with_different_parameters: of_options(extends(Named<u32>, Other, Named<String>)) => TWICE;
    a_closure_trait_as_parent: of_options(extends(Fn(u8) -> u8)) =>
        "`extends` takes the traits extended: write `extends(Parent, Other<u32>)`";
    no_comma: of_options(name = "a" rename_all = "camelCase") =>
        "unexpected text after `name`: write a comma before the next option";
    an_unknown_option_of_a_method: of_method(#[capnode(propety)] async fn say(&self);) =>
        "there is no option `propety` of a method; there are `name = \"..\"`, `property`, `no_cancel`, `blocking`";
    an_option_of_a_method_twice: of_method(#[capnode(no_cancel)] #[capnode(no_cancel)] async fn say(&self);) =>
        "`no_cancel` is given twice: keep one";
    a_flag_with_a_value: of_method(#[capnode(property = true)] async fn say(&self);) =>
        "unexpected text after `property`: write a comma before the next option";
    an_attribute_without_options: of_method(#[capnode] async fn say(&self);) =>
        "this attribute has no options: write `#[capnode(property)]` or leave it out";
}

#[test]
fn each_reserved_name_is_refused() {
    for name in [
        "then",
        "catch",
        "finally",
        "map",
        "dup",
        "onRpcBroken",
        "constructor",
        "prototype",
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
    ] {
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
fn all_mistakes_are_reported_at_once() {
    let messages = messages(
        quote!(rename_all = "camels", rename = "x"),
        quote! {
            pub unsafe trait Chat {
                type Item;
                fn join(&mut self, (a, b): (u8, u8)) -> &str;
                async fn then(&self);
                #[capnode(propery)]
                async fn say(&self, text: Vec<&str>);
            }
        },
    );
    assert_eq!(messages.len(), 11, "{messages:#?}");
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
