//! Descriptions of interfaces, for programs in other languages.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde_json::{Value, json};

/// The version of the form that [`describe`] gives.
const VERSION: u32 = 1;

/// An interface as the attribute describes it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Description {
    pub name: &'static str,
    pub docs: &'static str,
    pub extends: &'static [fn() -> &'static Description],
    pub members: &'static [Member],
}

/// A method or property of a description.
#[doc(hidden)]
#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub docs: &'static str,
    pub is_property: bool,
    pub arguments: &'static [Argument],
    pub result: fn() -> Shape,
    pub error: Option<fn() -> Shape>,
}

/// The name of an argument, and its type.
#[doc(hidden)]
pub type Argument = (&'static str, fn() -> Shape);

/// A type of a description. Its parts are functions, so that interfaces can mention each other.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Known(&'static str),
    /// A type that nothing is known of, as it is written.
    Unknown(&'static str),
    Interface(&'static Description),
    Option(fn() -> Shape),
    List(fn() -> Shape),
    Map(fn() -> Shape, fn() -> Shape),
    Tuple(&'static [fn() -> Shape]),
    Func(&'static [fn() -> Shape], fn() -> Shape),
    Reader(fn() -> Shape),
    Writer(fn() -> Shape),
}

/// A client whose interface is described.
#[doc(hidden)]
pub trait Described {
    const DESCRIPTION: &'static Description;
}

/// A type that is asked for its shape, by a method that one of two traits has.
#[doc(hidden)]
#[derive(Debug)]
pub struct Shaped<T>(pub PhantomData<T>);

#[doc(hidden)]
pub trait OfDescribed {
    fn shape(&self, written: &'static str) -> Shape;
}

impl<T: Described> OfDescribed for Shaped<T> {
    fn shape(&self, _written: &'static str) -> Shape {
        Shape::Interface(T::DESCRIPTION)
    }
}

#[doc(hidden)]
pub trait OfUndescribed {
    fn shape(&self, written: &'static str) -> Shape;
}

/// A fallback, found after the other since it takes a reference more.
impl<T> OfUndescribed for &Shaped<T> {
    fn shape(&self, written: &'static str) -> Shape {
        Shape::Unknown(written)
    }
}

/// Returns the description of the interface of `C`, and of all that it mentions, as JSON.
///
/// Interfaces stand in the order of their names, members in that of the trait. A type that nothing is known of is
/// `{"unknown": ".."}`, with the type as it is written.
#[must_use]
pub fn describe<C: Described>() -> String {
    let mut found = BTreeMap::new();
    let mut waiting = vec![C::DESCRIPTION];
    while let Some(description) = waiting.pop() {
        if found.contains_key(description.name) {
            continue;
        }
        found.insert(description.name, Value::Null);
        let json = interface(description, &mut waiting);
        found.insert(description.name, json);
    }
    // The members of all objects are written in alphabetical order, which is then the same whatever order
    // `serde_json` is built to keep.
    let interfaces: Vec<_> = found.into_values().collect();
    format!("{:#}\n", json!({ "interfaces": interfaces, "root": C::DESCRIPTION.name, "version": VERSION }))
}

type Waiting = Vec<&'static Description>;

fn interface(description: &'static Description, waiting: &mut Waiting) -> Value {
    let parents: Vec<_> = description.extends.iter().map(|parent| parent()).collect();
    waiting.extend(&parents);
    let extends: Vec<_> = parents.iter().map(|parent| parent.name).collect();
    let members: Vec<_> = description.members.iter().map(|member| self::member(member, waiting)).collect();
    json!({ "docs": description.docs, "extends": extends, "members": members, "name": description.name })
}

fn member(member: &Member, waiting: &mut Waiting) -> Value {
    let arguments: Vec<_> = member
        .arguments
        .iter()
        .map(|(name, ty)| json!({ "name": name, "type": shape(*ty, waiting) }))
        .collect();
    json!({
        "arguments": arguments,
        "docs": member.docs,
        "error": member.error.map(|ty| shape(ty, waiting)),
        "name": member.name,
        "property": member.is_property,
        "result": shape(member.result, waiting),
    })
}

fn shape(ty: fn() -> Shape, waiting: &mut Waiting) -> Value {
    match ty() {
        Shape::Known(name) => json!(name),
        Shape::Unknown(written) => json!({ "unknown": written }),
        Shape::Interface(description) => {
            waiting.push(description);
            json!({ "interface": description.name })
        }
        Shape::Option(ty) => json!({ "option": shape(ty, waiting) }),
        Shape::List(ty) => json!({ "list": shape(ty, waiting) }),
        Shape::Map(key, value) => json!({ "map": [shape(key, waiting), shape(value, waiting)] }),
        Shape::Tuple(parts) => json!({ "tuple": shapes(parts, waiting) }),
        Shape::Func(arguments, result) => {
            json!({ "arguments": shapes(arguments, waiting), "result": shape(result, waiting) })
        }
        Shape::Reader(ty) => json!({ "reader": shape(ty, waiting) }),
        Shape::Writer(ty) => json!({ "writer": shape(ty, waiting) }),
    }
}

fn shapes(parts: &[fn() -> Shape], waiting: &mut Waiting) -> Vec<Value> {
    parts.iter().map(|ty| shape(*ty, waiting)).collect()
}
