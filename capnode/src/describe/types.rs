//! Types of the library in TypeScript, where they stand in a type of the user's.

use ts_rs::{Config, Dummy, TS, TypeVisitor};

use std::any::TypeId;

use super::wire_form::{result_parts, thrown_before};
use crate::cap::Cap;
use crate::error::Error;
use crate::interface::func::Func;
use crate::interface::stream::{Reader, Writer};
use crate::value::{BigInt, Blob, Bytes, Date, ErrorValue, Headers, Request, Response, Url, Value};

macro_rules! plain {
    ($($ty:ty => $name:literal)*) => { $(
        impl TS for $ty {
            type WithoutGenerics = Self;
            type OptionInnerType = Self;

            fn name(_: &Config) -> String {
                $name.to_owned()
            }

            fn inline(config: &Config) -> String {
                <Self as TS>::name(config)
            }
        }
    )* };
}

plain! {
    BigInt => "bigint"
    Blob => "Blob"
    Bytes => "Uint8Array"
    Cap => "any"
    Date => "Date"
    Error => "Error"
    ErrorValue => "Error"
    Headers => "Headers"
    Request => "Request"
    Response => "Response"
    Url => "URL"
    Value => "unknown"
}

macro_rules! streams {
    ($($ty:ident => $name:literal)*) => { $(
        impl<T: TS> TS for $ty<T> {
            type WithoutGenerics = $ty<Dummy>;
            type OptionInnerType = Self;

            fn name(config: &Config) -> String {
                format!(concat!($name, "<{}>"), T::name(config))
            }

            fn inline(config: &Config) -> String {
                <Self as TS>::name(config)
            }

            fn visit_generics(visitor: &mut impl TypeVisitor)
            where
                Self: 'static,
            {
                visitor.visit::<T>();
                T::visit_generics(visitor);
            }
        }
    )* };
}

streams! {
    Reader => "ReadableStream"
    Writer => "WritableStream"
}

/// Returns what a function returns, and, if that is a `Result`, what it throws.
fn outcome<R: TS>(config: &Config) -> (String, Option<String>)
where
    R::WithoutGenerics: 'static,
{
    let name = R::name(config);
    let is_result = TypeId::of::<R::WithoutGenerics>() == TypeId::of::<Result<Dummy, Dummy>>();
    match result_parts(&name).filter(|_| is_result) {
        Some((ok, error)) => (ok, Some(error)),
        None => (name, None),
    }
}

macro_rules! functions {
    ($(($($arg:ident $name:literal),*))*) => { $(
        impl<$($arg: TS,)* R: TS> TS for Func<fn($($arg),*) -> R>
        where
            R::WithoutGenerics: 'static,
        {
            type WithoutGenerics = Self;
            type OptionInnerType = Self;

            fn name(config: &Config) -> String {
                let arguments: &[String] = &[$(format!(concat!($name, ": {}"), $arg::name(config))),*];
                let (result, error) = outcome::<R>(config);
                let result = if result == "null" { "void" } else { &result };
                let thrown = error.as_deref().map_or_else(String::new, thrown_before);
                format!("({thrown}({}) => Promise<{result}>)", arguments.join(", "))
            }

            fn inline(config: &Config) -> String {
                <Self as TS>::name(config)
            }

            #[allow(unused_variables)]
            fn visit_generics(visitor: &mut impl TypeVisitor)
            where
                Self: 'static,
            {
                $(visitor.visit::<$arg>(); $arg::visit_generics(visitor);)*
                visitor.visit::<R>();
                R::visit_generics(visitor);
            }
        }
    )* };
}

functions! {
    ()
    (A "a")
    (A "a", B "b")
    (A "a", B "b", C "c")
    (A "a", B "b", C "c", D "d")
    (A "a", B "b", C "c", D "d", E "e")
    (A "a", B "b", C "c", D "d", E "e", F "f")
}
