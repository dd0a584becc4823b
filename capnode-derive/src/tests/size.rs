//! Build time is part of the product: this holds the expansion of an interface to a size.

use crate::expand_interface;
use proc_macro2::TokenStream;
use quote::quote;

/// The lines of an expansion and the methods they are for. The trait is the user's own and does not
/// count, nor does documentation.
struct Size {
    name: String,
    /// A hash of all tokens.
    hash: u64,
    lines: usize,
    methods: usize,
}

fn measure(options: TokenStream, item: TokenStream) -> Size {
    let syn::ItemTrait { ident, items, .. } = syn::parse2(item.clone()).unwrap();
    let expansion = expand_interface(options, item);
    let hash = hash_of(&expansion.to_string());
    let mut file: syn::File = syn::parse2(expansion).unwrap();
    file.items.retain(|item| !matches!(item, syn::Item::Trait(_)));
    let text = prettyplease::unparse(&file);
    assert!(!text.contains("compile_error"), "{text}");
    // The mark of a generated `impl` costs no build time: it only keeps lints away.
    let ignored = ["///", "#[automatically_derived]"];
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !ignored.iter().any(|start| line.starts_with(start))
    };
    Size { name: ident.to_string(), hash, lines: text.lines().filter(is_code).count(), methods: items.len() }
}

/// FNV-1a, which stays the same from one version of Rust to the next.
fn hash_of(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn interfaces() -> Vec<Size> {
    let plain = TokenStream::new;
    vec![
        measure(
            plain(),
            quote! {
                pub trait Echo {
                    async fn echo(&self, text: &str) -> String;
                }
            },
        ),
        measure(
            plain(),
            quote! {
                pub trait Seat {
                    async fn say(&self, text: &str);
                    async fn leave(&self);
                    #[capnode(property)]
                    async fn name(&self) -> String;
                }
            },
        ),
        measure(
            plain(),
            quote! {
                pub trait Chat {
                    async fn join(&self, name: &str, on_message: Func<fn(Message)>) -> Result<SeatClient, JoinError>;
                    async fn members(&self) -> Vec<String>;
                    async fn history(&self, from: u64, limit: u32) -> Vec<Message>;
                    #[capnode(property)]
                    async fn topic(&self) -> String { String::new() }
                    async fn set_topic(&self, topic: &str) -> Result<(), Forbidden>;
                }
            },
        ),
        measure(
            plain(),
            quote! {
                pub trait Store<T> {
                    async fn get(&self, key: &str) -> Option<T>;
                    async fn put(&self, key: &str, value: T) -> Option<T>;
                    async fn remove(&self, key: &str) -> bool;
                    async fn keys(&self) -> Vec<String>;
                    async fn watch(&self, key: &str, on_change: Func<fn(Option<T>)>) -> WatchClient;
                    async fn clear(&self);
                }
            },
        ),
        measure(
            quote!(extends(Seat, Named)),
            quote! {
                pub trait Moderator {
                    async fn mute(&self, name: &str, seconds: u32) -> Result<(), NoSuchMember>;
                    async fn remove(&self, name: &str) -> Result<(), NoSuchMember>;
                    #[capnode(no_cancel)]
                    async fn close(&self);
                    #[cfg(feature = "audit")]
                    async fn log(&self) -> Vec<Entry>;
                }
            },
        ),
        measure(
            plain(),
            quote! {
                pub trait Files {
                    async fn list(&self, folder: &str) -> Result<Vec<Entry>, FileError>;
                    async fn open(&self, path: &str, mode: Mode) -> Result<FileClient, FileError>;
                    async fn read(&self, path: &str, from: u64, to: u64) -> Result<Bytes, FileError>;
                    async fn write(&self, path: &str, at: u64, bytes: &[u8]) -> Result<u64, FileError>;
                    async fn remove(&self, path: &str) -> Result<(), FileError>;
                    async fn rename(&self, from: &str, to: &str) -> Result<(), FileError>;
                    async fn watch(&self, folder: &str, on_change: Func<fn(Change)>) -> Result<WatchClient, FileError>;
                    #[capnode(property)]
                    async fn root(&self) -> String;
                    #[capnode(blocking)]
                    async fn free(&self) -> u64;
                    async fn sync(&self);
                }
            },
        ),
        measure(
            plain(),
            quote! {
                pub trait Plugin {
                    async fn start(&self, host: HostClient) -> Result<(), StartError>;
                    async fn stop(&self);
                    async fn configure(&self, settings: Settings) -> Vec<Warning>;
                    #[capnode(property)]
                    async fn version(&self) -> String;
                    #[capnode(property)]
                    async fn commands(&self) -> Vec<Command>;
                    async fn run(&self, command: &str, arguments: &[String]) -> Result<Value, RunError>;
                    async fn complete(&self, prefix: &str) -> Vec<String>;
                }
            },
        ),
        measure(
            plain(),
            quote! {
                pub trait Worker {
                    async fn submit(&self, job: Job, on_progress: Func<fn(f32)>) -> TicketClient;
                    async fn cancel(&self, id: u64) -> bool;
                    async fn load(&self) -> f64;
                    async fn drain(&self);
                }
            },
        ),
        measure(
            plain(),
            quote! {
                pub trait Game {
                    async fn enter(&self, player: PlayerClient) -> Result<SessionClient, Full>;
                    async fn leave(&self, player: &PlayerClient);
                    async fn step(&self, direction: Direction) -> Position;
                    async fn look(&self) -> Vec<Thing>;
                    async fn take(&self, thing: u64) -> Result<Thing, Refused>;
                    async fn drop_thing(&self, thing: u64);
                    async fn say(&self, text: &str);
                    async fn on_event(&self, listener: Func<fn(Event)>);
                    #[capnode(property)]
                    async fn score(&self) -> u32;
                    #[capnode(property)]
                    async fn position(&self) -> Position;
                    async fn trade(&self, with: u64, give: Vec<u64>, want: Vec<u64>) -> Result<(), Refused>;
                    async fn players(&self) -> Vec<Player>;
                }
            },
        ),
        measure(plain(), desk(20)),
    ]
}

/// A plain interface of `count` methods, of four kinds in turn.
fn desk(count: usize) -> TokenStream {
    let methods = (0..count).map(|index| {
        let name = quote::format_ident!("method_{}", index);
        match index % 4 {
            0 => quote!(async fn #name(&self, text: &str) -> Result<Answer, Refused>;),
            1 => quote!(async fn #name(&self, id: u64) -> Answer;),
            2 => quote!(async fn #name(&self);),
            _ => quote!(async fn #name(&self, path: &str, options: Options);),
        }
    });
    quote!(pub trait Desk { #(#methods)* })
}

#[test]
fn a_method_adds_fifteen_lines_at_most_in_the_median() {
    let fixed = measure(
        TokenStream::new(),
        quote!(
            pub trait Nothing {}
        ),
    )
    .lines;
    let mut each = Vec::new();
    for Size { name, lines, methods, .. } in interfaces() {
        let (all, own) = (lines as f64 / methods as f64, (lines - fixed) as f64 / methods as f64);
        println!(
            "{name:>10}: {methods:2} methods, {lines:3} lines, {all:5.1} each, {own:4.1} without the {fixed} that are fixed"
        );
        each.push(own);
    }
    each.sort_by(f64::total_cmp);
    let median = each[each.len() / 2];
    assert!(median <= 15.0, "{median}");
}

#[test]
fn all_of_an_expansion_together_stays_small() {
    // The types of results that are a `Result`, and of arguments that may not travel, are named twice, so that rustc finds
    // what they are and says once what is wrong with them.
    for (count, most) in [(5, 29.0), (10, 21.0), (20, 16.5)] {
        let lines = measure(TokenStream::new(), desk(count)).lines;
        let each = lines as f64 / count as f64;
        println!("{count} methods: {lines} lines, {each:.1} each");
        assert!(each <= most, "{each}");
    }
}

#[test]
fn what_every_interface_has_once_stays_small() {
    let fixed = measure(
        TokenStream::new(),
        quote!(
            pub trait Nothing {}
        ),
    )
    .lines;
    assert!(fixed <= 76, "{fixed}");
}

/// Descriptions are for those who ask for them: a change that they need must not reach anybody else. A change that is
/// meant for all changes the number here.
#[test]
fn without_descriptions_an_expansion_is_token_for_token_as_before() {
    let all = interfaces().iter().fold(0, |all: u64, size| all.rotate_left(1) ^ size.hash);
    assert_eq!(all, 0x76a4_b1ff_1dd2_3b24, "{all:#x}");
}
