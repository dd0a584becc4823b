//! The form of a description, which is also that of its JSON.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of the JSON that is written, and the latest that is read.
pub(super) const VERSION: u32 = 1;

/// Interfaces, with all that they mention.
///
/// Interfaces and types stand in the order of their names, members in that of the trait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// The version of the form.
    pub version: u32,
    /// The names of the interfaces that were asked for.
    pub roots: Vec<String>,
    /// Those, and all that they mention.
    pub interfaces: Vec<InterfaceDescription>,
    /// Types of yours that are mentioned.
    pub types: Vec<Declaration>,
    pub(super) warnings: BTreeSet<String>,
    #[serde(skip)]
    pub(super) problems: BTreeSet<String>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InterfaceDescription {
    /// Its name in messages, with its parameters for one that is generic: `Store_Line`.
    pub name: String,
    /// Its documentation.
    pub docs: String,
    /// The interfaces that it extends.
    pub extends: Vec<String>,
    /// Its own methods and properties.
    pub members: Vec<MemberDescription>,
}

/// A method or property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberDescription {
    /// Its name on the wire.
    pub name: String,
    /// Its documentation.
    pub docs: String,
    /// `true` for a property.
    pub property: bool,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Its result, or for a `Result` the type of the value.
    pub result: Type,
    /// The type of its error, if it has one.
    pub error: Option<Type>,
}

/// An argument of a method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
}

/// A type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Type {
    /// A type that each peer has a form of, by its name in Rust: `u32`, `String`, `Bytes`.
    Known(String),
    /// A type that nothing is known of, as it is written.
    Unknown(String),
    /// A type of yours, in TypeScript: its name, with its parameters.
    Declared(String),
    /// A reference to an object.
    Interface(String),
    /// A value that may be missing.
    Option(Box<Type>),
    /// Any number of values.
    List(Box<Type>),
    /// Values by keys.
    Map(Box<Type>, Box<Type>),
    /// Several values.
    Tuple(Vec<Type>),
    /// A number of values.
    Array(Box<Type>, usize),
    /// A `Result` that is a value.
    Result(Box<Type>, Box<Type>),
    /// A reference to a function.
    Function {
        /// The types of its arguments.
        arguments: Vec<Type>,
        /// Its result.
        result: Box<Type>,
        /// The type of its error, if it has one.
        error: Option<Box<Type>>,
    },
    /// The read end of a stream.
    Reader(Box<Type>),
    /// The write end of a stream.
    Writer(Box<Type>),
}

/// A type of yours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Declaration {
    /// Its name.
    pub name: String,
    /// Its documentation, as a comment of TypeScript.
    pub docs: String,
    /// Its declaration in TypeScript: `type Line = { .. };`.
    pub text: String,
}

impl Description {
    /// Returns what is not described, and the reason, each with its place.
    pub fn warnings(&self) -> impl ExactSizeIterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    /// Returns the description as JSON, which is the same text for the same interfaces.
    #[must_use]
    pub fn to_json(&self) -> String {
        // All keys are texts, and nothing in it fails to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads a description.
    ///
    /// # Errors
    ///
    /// If the text is no description, or one of a later version.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        let description: Self = serde_json::from_str(json)?;
        if description.version > VERSION {
            let error =
                format!("a description of version {}: this library reads {VERSION}", description.version);
            return Err(serde::de::Error::custom(error));
        }
        Ok(description)
    }
}

/// Writes a type as TypeScript, as it stands inside of records and lists.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typescript())
    }
}
