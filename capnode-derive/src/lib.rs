//! The attribute macro of [capnode](https://docs.rs/capnode), which re-exports it: use it from
//! there. What it emits refers to that crate.

#![forbid(unsafe_code)]
#![warn(missing_docs, unnameable_types, unreachable_pub)]
#![cfg_attr(
    not(test),
    warn(
        unused_qualifications,
        clippy::dbg_macro,
        clippy::expect_used,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::todo,
        clippy::too_many_lines,
        clippy::unwrap_used
    )
)]

mod check;
#[cfg(feature = "describe")]
mod described;
mod errors;
mod expand;
mod model;
mod names;
mod options;
#[cfg(test)]
mod tests;
mod types;

use errors::Errors;
use model::Interface;
use options::InterfaceOptions;
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Item, ItemTrait};

/// Makes a trait an interface: its objects can be called from other programs.
///
/// ```ignore
/// use capnode::Func;
///
/// #[capnode::interface]
/// pub trait Chat {
///     /// Takes a seat; `on_message` is called for every message from then on.
///     async fn join(&self, name: &str, on_message: Func<fn(Message)>) -> Result<SeatClient, JoinError>;
///
///     /// How many seats are taken.
///     #[capnode(property)]
///     async fn taken(&self) -> u32 {
///         0
///     }
/// }
/// ```
///
/// # What it makes
///
/// * **The trait**, with every `async fn` written out as a method that returns a future which is
///   `Send`, and with the supertraits `Send`, `Sync` and `'static`. An `impl` is an ordinary one and
///   writes `async fn`. Methods may have default bodies, which an `impl` may leave out. In WebAssembly without atomics there
///   are no threads, and neither a future nor an object need be `Send` or `Sync`.
/// * **A client**, named after the trait: `ChatClient`. It is a reference to a local or remote object. It is cheap to
///   clone, equals other clients of the same object, and serializes, so that it can be an argument, a result, or
///   anywhere inside one. It has the trait's methods, each of which returns a `Call`: await it, pipeline on it, or send
///   it. `cap`, of the trait `capnode::Client`, returns the reference itself, which has `local`, `on_broken`, `get`,
///   `at` and the rest.
/// * **Constructors** of the client: `ChatClient::new(object)` for an `impl Chat`, `ChatClient::from_arc(arc)` for one
///   that this program keeps too, and `ChatClient::promise()` for one that does not exist yet. If a method has one of
///   these names, that constructor is left out; `capnode::serve::<ChatClient, _>(arc)` and `capnode::promise()` do the
///   same.
///
/// # What a method may take and return
///
/// A method is an `async fn` with `&self`, without type parameters, and with at most 12 arguments.
///
/// * **Owned types** that serialize with serde, clients and `Func`s among them, at any depth.
/// * **`&str`, `&[T]` and `&T`**, as the whole argument: the caller lends it for the call, and the
///   object borrows the received value.
/// * **`Func<fn(A, B) -> R>`**: the client takes a closure as well.
/// * **`Reader<T>`**: the client takes a stream of `T` or of `Result<T, E>` as well, and for `Reader<Bytes>` an
///   `AsyncRead`.
/// * **Any result that serializes.** A `Result<T, E>`, known by its name, gives the caller the typed
///   error back as `CallError<E>`; aliases named `Result` work too, with their parameters in any order. `E` also needs
///   `Display`. Where there is no type for it, `E` is `capnode::Error`, made by `Error::rejected`. A method that
///   passes on the errors of its own calls by `?` needs an `E` that is `From<capnode::Error>`, as `capnode::Error`
///   itself is; for calls with the same `E`, write `.map_err(CallError::into_inner)?`. A `Result` by another name, such as that of a type parameter or of a `Result` inside of one, is a
///   value: it arrives as it was returned, and a JavaScript peer sees an object with the member `Ok` or `Err`.
///
/// # Options of the trait
///
/// They are written in the attribute, as in
/// `#[capnode::interface(rename_all = "snake_case", extends(Named))]`.
///
/// ### `rename_all = ".."`
///
/// The convention for the names of methods on the wire. Default `"camelCase"`, since the other side is so often
/// JavaScript. The others are serde's: `"lowercase"`, `"UPPERCASE"`, `"PascalCase"`, `"snake_case"`,
/// `"SCREAMING_SNAKE_CASE"`, `"kebab-case"` and `"SCREAMING-KEBAB-CASE"`.
///
/// ### `extends(Parent, other::Parent<u32>)`
///
/// Other interfaces that objects of this one have too. They become supertraits, and their methods can be called on the
/// same object. The client dereferences to that of the first parent, so that it has its methods. For each further
/// parent it has a method that returns the parent's client, named after the trait, unless there is a method of this
/// name. It converts to all parents by `From`.
///
/// ```ignore
/// #[capnode::interface(extends(Seat, Log))]
/// pub trait Moderator {
///     async fn remove(&self, name: &str);
/// }
///
/// moderator.say("hello").await?;          // as a `Seat`
/// moderator.as_log().lines().await?;      // as a `Log`
/// let seat = SeatClient::from(moderator);
/// ```
///
/// No two methods of an interface and all its ancestors have the same name, in Rust or on the wire. An inherited method
/// has no name that every client has, such as `clone` or `cap`. These rules are checked. The methods of traits that a
/// caller imports are not checked: if such a trait is implemented for the client itself, as one for all `Serialize` is,
/// its method of the same name hides the inherited one. Then call the inherited one by the parent's client:
/// `SeatClient::from(moderator).say(..)`.
///
/// An interface that is extended in two ways counts once, and has the same parameters in both: it is an error if they
/// are not written alike. Write types from `crate::` on, so that those of two modules are known to be the same.
///
/// A supertrait that is written on the trait must not be an interface; an interface belongs here.
///
/// ### `name = ".."`
///
/// The interface's name in messages. Default: the trait's name.
///
/// ### `crate = path`
///
/// The path of capnode, if it is not `::capnode`: `crate = my_reexports::capnode`. A string works too.
///
/// # Options of a method
///
/// They are written in an attribute of their own, as in `#[capnode(property, name = "size")]`.
///
/// ### `name = ".."`
///
/// The name on the wire, which overrides `rename_all`. It is the way out where JavaScript uses a name itself, as it
/// does `then` and `toString`.
///
/// ### `property`
///
/// A value to read, not a function to call: `await chat.taken` in JavaScript. It has no arguments.
///
/// ### `no_cancel`
///
/// The method runs to its end once it has begun, even if its caller no longer wants the result.
///
/// ### `blocking`
///
/// The method blocks its thread, so it runs on a thread for blocking work.
///
/// ### `read`
///
/// The method changes nothing, so that `capnode::policy::read_only` passes it. A property does not need it.
///
/// ### `idempotent`
///
/// The method may run more than once for one call. By way of a durable reference (`Connect::reconnecting`) an awaited call
/// is sent again if its connection was lost before the answer came.
///
/// ### `rederive`
///
/// The client that the method returns can be had again by the same call. By way of a durable reference it is a durable
/// reference as well: when the connection is lost, the call is made again before the result is used again. The method
/// is `idempotent`. Its arguments are kept, 64 KiB at most, and hold no reference of a connection. If it fails then, the
/// reference is broken, unless the error has the property `code` with the value `EUNAVAILABLE`: the next use tries again.
///
/// # Generic traits
///
/// Type parameters belong to the trait, and are bound by `capnode::Wire` without it being written:
///
/// ```ignore
/// #[capnode::interface]
/// pub trait Store<T> {
///     async fn put(&self, key: &str, value: T);
///     async fn get(&self, key: &str) -> Option<T>;
/// }
///
/// let store: StoreClient<Document> = StoreClient::new(Folder::open("documents")?);
/// ```
///
/// # Attributes
///
/// `#[cfg(..)]` takes a method out of the trait, the client and the dispatcher alike. Documentation and `#[deprecated]`
/// go to the client's method too, and so do the lints that `#[allow(..)]` and `#[expect(..)]` of the trait and of its
/// methods allow. Other attributes stay with the trait.
#[proc_macro_attribute]
pub fn interface(options: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_interface(options.into(), item.into()).into()
}

/// Describes a type in TypeScript, as serde writes and reads it.
///
/// It is the derive of `ts-rs`, and takes the same attributes, in `#[ts(..)]`. But serde's attributes are all accounted for: a type
/// with `try_from` and `into`, or one that is `transparent`, is what stands for it on the wire, and one whose form cannot be told
/// from its attributes, as with `serialize_with`, has to say it by `#[ts(as = "..")]` or `#[ts(type = "..")]`.
///
/// `#[ts(crate = ..)]` is the path of capnode, if it is not `::capnode`.
#[cfg(feature = "describe")]
#[proc_macro_derive(TS, attributes(ts))]
pub fn described(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    described::expand(item.into()).into()
}

fn expand_interface(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = InterfaceOptions::read(options, &mut errors);
    let parsed = match syn::parse2::<ItemTrait>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = not_a_trait(&item).unwrap_or(error).into_compile_error();
            return quote!(#error #item);
        }
    };
    let mut interface = Interface::read(options, parsed, &mut errors);
    check::check(&mut interface, &mut errors);
    match errors.into_error() {
        None => expand::expand(&interface),
        Some(error) => {
            let error = error.into_compile_error();
            let fallback = expand::fallback(&interface);
            quote!(#fallback #error)
        }
    }
}

/// The message for an item of another kind, if it is one.
fn not_a_trait(item: &TokenStream) -> Option<syn::Error> {
    let message = match syn::parse2::<Item>(item.clone()).ok()? {
        Item::Struct(_) | Item::Enum(_) | Item::Union(_) => {
            "an interface is a trait: write this above the trait that the type implements"
        }
        Item::Impl(_) => "an interface is a trait: write this above the trait; its `impl`s need no attribute",
        Item::TraitAlias(_) => {
            "an interface is a trait with methods: write `#[capnode::interface(extends(One, Other))]` \
             above `trait Both {}`"
        }
        _ => "an interface is a trait: write this above one",
    };
    Some(syn::Error::new(Span::call_site(), message))
}
