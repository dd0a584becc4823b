//! Interfaces and their types, as the macro writes them down.
//!
//! A type is asked for its shape where it is written, by a method that four traits have: the first that fits is found.
//! So a type is known by what it is, not by its name, and a type that nothing is known of needs nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

use ts_rs::TS;

use super::collect::Collector;
use crate::cap::Cap;
use crate::cap::interface::Interface;
use crate::error::Error;
use crate::interface::Client;
use crate::interface::func::Func;
use crate::interface::stream::{Reader, Writer};
use crate::value::{BigInt, Blob, Bytes, Date, ErrorValue, Headers, Request, Response, Url, Value};

/// Returns the shape of a type. It is a function, so that interfaces can mention each other.
#[doc(hidden)]
pub type Shaping = fn() -> Shape;

/// All that the table of an interface does not say.
#[doc(hidden)]
#[derive(Debug)]
pub struct Outline {
    pub interface: &'static Interface,
    pub docs: &'static str,
    /// The types that stand for the parameters of a generic interface.
    pub given: &'static [Shaping],
    pub extends: &'static [Shaping],
    /// One for each method that is in the table.
    pub members: &'static [Member],
}

/// A method or property of an outline.
#[doc(hidden)]
#[derive(Debug)]
pub struct Member {
    pub docs: &'static str,
    pub arguments: &'static [Shaping],
    pub result: Shaping,
    pub error: Option<Shaping>,
}

/// A type of an outline.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Known(&'static str),
    /// A type that nothing is known of, as it is written.
    Unknown(&'static str),
    /// A type that `ts-rs` knows.
    Declared(fn(&mut Collector) -> String),
    Interface(&'static Outline),
    Option(Shaping),
    List(Shaping),
    Map(Shaping, Shaping),
    Tuple(&'static [Shaping]),
    Array(Shaping, usize),
    Result(Shaping, Shaping),
    /// The arguments of a function, and its result.
    Func(&'static [Shaping]),
    Reader(Shaping),
    Writer(Shaping),
}

/// A client whose interface is described: with the feature `describe`, each whose parameters are.
pub trait Described: Client {
    #[doc(hidden)]
    const OUTLINE: &'static Outline;
}

/// A type that is asked for its shape, with the parameters that are written with it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Shaped<T: ?Sized, P>(pub PhantomData<(P, PhantomData<T>)>);

/// Types of the library and of std, if their parameters are those that are written.
#[doc(hidden)]
pub trait OfKnown {
    fn shape(&self, written: &'static str, parts: &'static [Shaping]) -> Shape;
}

#[doc(hidden)]
pub trait OfDescribed {
    fn shape(&self, written: &'static str, parts: &'static [Shaping]) -> Shape;
}

impl<T: Described, P> OfDescribed for &&Shaped<T, P> {
    fn shape(&self, _: &'static str, _: &'static [Shaping]) -> Shape {
        Shape::Interface(T::OUTLINE)
    }
}

#[doc(hidden)]
pub trait OfDeclared {
    fn shape(&self, written: &'static str, parts: &'static [Shaping]) -> Shape;
}

impl<T: TS + ?Sized + 'static, P> OfDeclared for &Shaped<T, P> {
    fn shape(&self, _: &'static str, _: &'static [Shaping]) -> Shape {
        Shape::Declared(Collector::declared::<T>)
    }
}

#[doc(hidden)]
pub trait OfUnknown {
    fn shape(&self, written: &'static str, parts: &'static [Shaping]) -> Shape;
}

impl<T: ?Sized, P> OfUnknown for Shaped<T, P> {
    fn shape(&self, written: &'static str, _: &'static [Shaping]) -> Shape {
        Shape::Unknown(written)
    }
}

/// Chooses between two ways to describe a type: it may be the one that is written, or one behind an alias.
#[doc(hidden)]
#[derive(Debug)]
pub struct Same<A, B>(pub PhantomData<(A, B)>);

#[doc(hidden)]
pub trait IfSame {
    fn choose(&self, same: Shaping, other: Shaping) -> Shape;
}

impl<A> IfSame for &Same<A, A> {
    fn choose(&self, same: Shaping, _: Shaping) -> Shape {
        same()
    }
}

#[doc(hidden)]
pub trait IfOther {
    fn choose(&self, same: Shaping, other: Shaping) -> Shape;
}

impl<A, B> IfOther for Same<A, B> {
    fn choose(&self, _: Shaping, other: Shaping) -> Shape {
        other()
    }
}

/// A type without parameters that each peer has a form of.
#[doc(hidden)]
pub trait Known {
    const NAME: &'static str;
}

impl<T: Known + ?Sized> OfKnown for &&&Shaped<T, ()> {
    fn shape(&self, _: &'static str, _: &'static [Shaping]) -> Shape {
        Shape::Known(T::NAME)
    }
}

macro_rules! known {
    ($($ty:ty => $name:literal)*) => { $(impl Known for $ty { const NAME: &'static str = $name; })* };
}

known! {
    () => "()"
    bool => "bool"
    char => "char"
    str => "String"
    String => "String"
    u8 => "u8"
    u16 => "u16"
    u32 => "u32"
    u64 => "u64"
    u128 => "u128"
    usize => "usize"
    i8 => "i8"
    i16 => "i16"
    i32 => "i32"
    i64 => "i64"
    i128 => "i128"
    isize => "isize"
    f32 => "f32"
    f64 => "f64"
    BigInt => "BigInt"
    Blob => "Blob"
    Bytes => "Bytes"
    Cap => "Cap"
    Date => "Date"
    Error => "Error"
    ErrorValue => "Error"
    Headers => "Headers"
    Request => "Request"
    Response => "Response"
    Url => "Url"
    Value => "Value"
}

/// Types with parameters: the shape of each, made of those of the parameters.
macro_rules! made_of {
    ($([$($params:tt)*] $ty:ty, ($($part:ty),*), $parts:pat => $shape:expr;)*) => { $(
        impl<$($params)*> OfKnown for &&&Shaped<$ty, ($(PhantomData<$part>,)*)> {
            fn shape(&self, written: &'static str, parts: &'static [Shaping]) -> Shape {
                match *parts {
                    $parts => $shape,
                    _ => Shape::Unknown(written),
                }
            }
        }
    )* };
}

made_of! {
    [T] Option<T>, (T), [one] => Shape::Option(one);
    [T] Vec<T>, (T), [one] => Shape::List(one);
    [T] VecDeque<T>, (T), [one] => Shape::List(one);
    [T] LinkedList<T>, (T), [one] => Shape::List(one);
    [T] BTreeSet<T>, (T), [one] => Shape::List(one);
    [T, S] HashSet<T, S>, (T), [one] => Shape::List(one);
    [K, V] BTreeMap<K, V>, (K, V), [key, value] => Shape::Map(key, value);
    [K, V, S] HashMap<K, V, S>, (K, V), [key, value] => Shape::Map(key, value);
    [T, E] Result<T, E>, (T, E), [ok, error] => Shape::Result(ok, error);
    [T: ?Sized] Box<T>, (T), [one] => one();
    [T: ?Sized] Arc<T>, (T), [one] => one();
    [T: ToOwned + ?Sized] Cow<'static, T>, (T), [one] => one();
    [T] Reader<T>, (T), [one] => Shape::Reader(one);
    [T] Writer<T>, (T), [one] => Shape::Writer(one);
}

impl<F: ?Sized> OfKnown for &&&Shaped<Func<F>, (PhantomData<F>,)> {
    fn shape(&self, _: &'static str, parts: &'static [Shaping]) -> Shape {
        Shape::Func(parts)
    }
}
