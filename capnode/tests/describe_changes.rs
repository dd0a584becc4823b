//! Changes of interfaces and types: what fails for old clients with a new server, and for new clients with an old one.
//!
//! Types of users are compared by the compiler that the variable `CAPNODE_TSC` names, as `.ci/typescript` sets it. Without it
//! their part is left out.

#![cfg(feature = "describe")]
#![allow(missing_docs, clippy::enum_variant_names)]

use std::env;
use std::process::Command;

use capnode::describe::{Breaks, Description, TS};
use capnode::{Func, Reader, Writer};
use serde::{Deserialize, Serialize};

/// `true` for whom something fails: old clients, and new clients.
fn verdict(breaks: &Breaks) -> (bool, bool) {
    (!breaks.old_clients.is_empty(), !breaks.new_clients.is_empty())
}

/// A change of a trait: its methods before and after, and for whom something fails.
macro_rules! methods {
    ($($change:ident: { $($old:tt)* } => { $($new:tt)* }, $old_clients:literal, $new_clients:literal;)*) => { $(
        #[test]
        fn $change() {
            mod old {
                #[allow(unused_imports)]
                use super::*;
                #[capnode::interface]
                pub trait Desk { $($old)* }
            }
            mod new {
                #[allow(unused_imports)]
                use super::*;
                #[capnode::interface]
                pub trait Desk { $($new)* }
            }
            let breaks = Description::of::<new::DeskClient>().breaks_since(&Description::of::<old::DeskClient>());
            assert_eq!(verdict(&breaks), ($old_clients, $new_clients), "{breaks:?}");
        }
    )* };
}

#[capnode::interface]
pub trait Seat {
    async fn say(&self, text: String);
}

mod wider {
    #[capnode::interface]
    pub trait Seat {
        async fn say(&self, text: String);
        async fn leave(&self);
    }
}

#[capnode::interface]
pub trait Named {
    async fn name(&self) -> String;
}

methods! {
    a_method_that_is_added: { async fn a(&self); } => { async fn a(&self); async fn b(&self); }, false, true;
    a_method_that_is_taken_away: { async fn a(&self); async fn b(&self); } => { async fn a(&self); }, true, false;
    a_method_that_is_renamed: { async fn a(&self); } => { async fn b(&self); }, true, true;
    methods_in_another_order:
        { async fn a(&self); async fn b(&self); } => { async fn b(&self); async fn a(&self); }, false, false;
    documentation: { async fn a(&self); } => { /** Is said. */ async fn a(&self); }, false, false;
    a_method_that_becomes_a_property:
        { async fn a(&self) -> u8; } => { #[capnode(property)] async fn a(&self) -> u8; }, true, true;
    an_argument_that_is_renamed: { async fn a(&self, b: u8); } => { async fn a(&self, c: u8); }, false, false;
    an_argument_that_is_added: { async fn a(&self); } => { async fn a(&self, b: u8); }, true, false;
    an_optional_argument_that_is_added: { async fn a(&self); } => { async fn a(&self, b: Option<u8>); }, false, false;
    an_argument_that_is_taken_away: { async fn a(&self, b: u8); } => { async fn a(&self); }, false, true;
    an_argument_that_becomes_optional:
        { async fn a(&self, b: u8); } => { async fn a(&self, b: Option<u8>); }, false, true;
    an_argument_that_becomes_larger: { async fn a(&self, b: u8); } => { async fn a(&self, b: u32); }, false, true;
    an_argument_of_another_type: { async fn a(&self, b: u8); } => { async fn a(&self, b: String); }, true, true;
    a_result_that_becomes_larger: { async fn a(&self) -> u8; } => { async fn a(&self) -> u32; }, true, false;
    a_result_that_loses_its_sign: { async fn a(&self) -> i8; } => { async fn a(&self) -> u8; }, true, true;
    a_result_that_becomes_optional: { async fn a(&self) -> u8; } => { async fn a(&self) -> Option<u8>; }, true, false;
    a_result_where_there_was_none: { async fn a(&self); } => { async fn a(&self) -> u8; }, false, true;
    a_result_that_may_be_an_error:
        { async fn a(&self) -> u8; } => { async fn a(&self) -> Result<u8, String>; }, false, false;
    another_error: { async fn a(&self) -> Result<u8, String>; } => { async fn a(&self) -> Result<u8, u32>; }, true, true;
    a_callback_that_takes_more:
        { async fn a(&self, b: Func<fn(u8)>); } => { async fn a(&self, b: Func<fn(u32)>); }, true, false;
    a_callback_that_returns_more:
        { async fn a(&self, b: Func<fn() -> u8>); } => { async fn a(&self, b: Func<fn() -> u32>); }, false, true;
    a_function_in_a_result_that_takes_more:
        { async fn a(&self) -> Func<fn(u8)>; } => { async fn a(&self) -> Func<fn(u32)>; }, false, true;
    an_object_in_a_result_with_a_method_more:
        { async fn a(&self) -> SeatClient; } => { async fn a(&self) -> wider::SeatClient; }, false, true;
    an_object_in_an_argument_with_a_method_more:
        { async fn a(&self, b: SeatClient); } => { async fn a(&self, b: wider::SeatClient); }, true, false;
    a_list_that_becomes_an_array:
        { async fn a(&self, b: Vec<u8>); } => { async fn a(&self, b: [u8; 2]); }, true, false;
    a_tuple_that_becomes_longer: { async fn a(&self) -> (u8, u8); } => { async fn a(&self) -> (u8, u8, u8); }, true, true;
    a_stream_in_an_argument_of_more:
        { async fn a(&self, b: Reader<u8>); } => { async fn a(&self, b: Reader<u32>); }, false, true;
    a_sink_in_a_result_of_more: { async fn a(&self) -> Writer<u8>; } => { async fn a(&self) -> Writer<u32>; }, false, true;
    a_type_of_which_nothing_is_known:
        { async fn a(&self, b: std::time::Duration); } => { async fn a(&self, b: std::time::SystemTime); }, true, true;
}

#[test]
fn an_ancestor_that_is_added() {
    mod new {
        #[capnode::interface(extends(super::Named))]
        pub trait Seat {
            async fn say(&self, text: String);
        }
    }
    let breaks = Description::of::<new::SeatClient>().breaks_since(&Description::of::<SeatClient>());
    assert_eq!(breaks.old_clients, [""; 0]);
    assert_eq!(breaks.new_clients, ["Seat.name: is not there"]);
}

/// A change of the type `Line`, which stands in results, arguments or both.
macro_rules! types {
    ($($change:ident: [$($method:ident)*] { $($old:tt)* } => { $($new:tt)* }, $old_clients:literal, $new_clients:literal;)*) => { $(
        #[test]
        fn $change() {
            mod old {
                #[allow(unused_imports)]
                use super::*;
                $($old)*
                types!(@$($method)*);
            }
            mod new {
                #[allow(unused_imports)]
                use super::*;
                $($new)*
                types!(@$($method)*);
            }
            if env::var_os("CAPNODE_TSC").is_none() {
                eprintln!("left out, since CAPNODE_TSC names no compiler");
                return;
            }
            let breaks = Description::of::<new::DeskClient>().breaks_since(&Description::of::<old::DeskClient>());
            assert_eq!(verdict(&breaks), ($old_clients, $new_clients), "{breaks:?}");
        }
    )* };
    (@get) => {
        #[capnode::interface]
        pub trait Desk { async fn get(&self) -> Line; }
    };
    (@put) => {
        #[capnode::interface]
        pub trait Desk { async fn put(&self, lines: Vec<Line>); }
    };
    (@get put) => {
        #[capnode::interface]
        pub trait Desk { async fn get(&self) -> Line; async fn put(&self, line: Line); }
    };
}

macro_rules! line {
    ($($line:tt)*) => {
        #[derive(Serialize, Deserialize, TS)]
        pub $($line)*
    };
}

types! {
    a_field_that_is_added: [get put] { line!(struct Line { a: u8 }); } => { line!(struct Line { a: u8, b: u8 }); }, true, true;
    a_field_that_is_added_to_a_result: [get] { line!(struct Line { a: u8 }); } => { line!(struct Line { a: u8, b: u8 }); }, false, true;
    a_field_that_is_taken_from_an_argument: [put] { line!(struct Line { a: u8, b: u8 }); } => { line!(struct Line { a: u8 }); }, false, true;
    an_optional_field_that_is_added: [get put] { line!(struct Line { a: u8 }); } => { line!(struct Line { a: u8, b: Option<u8> }); }, false, false;
    a_field_that_becomes_small: [get] { line!(struct Line { a: u64 }); } => { line!(struct Line { a: u32 }); }, false, true;
    a_variant_that_is_added_to_a_result: [get] { line!(enum Line { A }); } => { line!(enum Line { A, B(u8) }); }, true, false;
    a_variant_that_is_added_to_an_argument: [put] { line!(enum Line { A }); } => { line!(enum Line { A, B(u8) }); }, false, true;
    a_type_that_is_a_text: [get put] { line!(struct Line(String);); } => { pub type Line = String; }, false, false;
    an_object_in_a_record_with_a_method_more: [get] { line!(struct Line { a: SeatClient }); } => {
        pub use wider::SeatClient;
        line!(struct Line { a: SeatClient });
    }, false, true;
}

mod before {
    use super::*;
    line!(
        struct Line {
            a: u8,
        }
    );
    types!(@get put);
}

mod after {
    use super::*;
    line!(
        struct Line {
            a: String,
        }
    );
    types!(@get put);
}

#[test]
fn a_change_that_no_compiler_looks_at_is_reported_for_both() {
    if env::var_os("CAPNODE_TSC").is_none_or(|compiler| compiler != "/no/compiler") {
        let this = env::current_exe().unwrap();
        let name = "a_change_that_no_compiler_looks_at_is_reported_for_both";
        let again =
            Command::new(this).args(["--exact", name]).env("CAPNODE_TSC", "/no/compiler").output().unwrap();
        assert!(again.status.success(), "{again:?}");
        return;
    }
    let breaks =
        Description::of::<after::DeskClient>().breaks_since(&Description::of::<before::DeskClient>());
    let expected = [
        "Desk.get, the result: `Line` has changed, and there is no `tsc` to compare it: CAPNODE_TSC names one",
        "Desk.put, argument `line`: `Line` has changed, and there is no `tsc` to compare it: CAPNODE_TSC names one",
    ];
    assert_eq!(
        (&breaks.old_clients[..], &breaks.new_clients[..]),
        (&expected.map(String::from)[..], &expected.map(String::from)[..])
    );
}

#[test]
fn a_stale_snapshot_fails_with_what_breaks() {
    let path = env::temp_dir().join(format!("capnode-snapshot-{}.json", std::process::id()));
    let description = Description::of::<SeatClient>();
    std::fs::write(&path, description.to_json()).unwrap();
    assert_eq!(description.check_snapshot(&path), Ok(()));
    let stale = Description::of::<wider::SeatClient>().check_snapshot(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert!(stale.contains("set CAPNODE_WRITE=1"), "{stale}");
    let end = "old clients with a new server: nothing fails\n\
               new clients with an old server:\n* Seat.leave: is not there\n";
    assert!(stale.ends_with(end), "{stale}");
}

#[test]
fn a_break_names_its_place_and_both_types() {
    mod new {
        #[capnode::interface]
        pub trait Seat {
            async fn say(&self, line: Option<u8>, to: Vec<super::SeatClient>);
        }
    }
    let breaks = Description::of::<new::SeatClient>().breaks_since(&Description::of::<SeatClient>());
    let expected = [
        "Seat.say, argument `line`: `String` is sent, and `Option<u8>` is read",
        "Seat.say, argument `to`: is not given, and `Vec<SeatClient>` is read",
    ];
    assert_eq!(breaks.old_clients, expected);
}
