//! Descriptions of interfaces, for programs in other languages.
//!
//! With the feature `describe` each interface has one: its methods and properties, with their documentation, their
//! arguments and results, and all interfaces and types that these mention. A [`Description`] is JSON.
//!
//! A type of yours that derives [`TS`] is described in TypeScript. One that does not needs nothing, and is `unknown`:
//! [`Description::warnings`] names it:
//!
//! ```
//! use capnode::describe::{Description, TS};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, TS)]
//! struct Line {
//!     id: u32,
//!     text: String,
//! }
//!
//! #[capnode::interface]
//! trait Chat {
//!     /// The lines from a number on.
//!     async fn lines(&self, from: u32) -> Vec<Line>;
//! }
//!
//! let description = Description::of::<ChatClient>();
//! assert!(description.to_json().contains("The lines from a number on."));
//! assert_eq!(description.warnings().len(), 0);
//! ```

mod answer;
mod assignable;
mod changes;
mod collect;
mod derived;
mod form;
mod shape;
mod types;
mod typescript;
mod wire_form;

pub use self::derived::TS;
pub use ts_rs;

pub use self::answer::describing;
pub use self::changes::Breaks;
pub use self::form::{Argument, Declaration, Description, InterfaceDescription, MemberDescription, Type};
pub use self::shape::Described;

#[doc(hidden)]
pub use self::collect::{Collector, accounted, mention, name_of};
#[doc(hidden)]
pub use self::shape::{
    IfOther, IfSame, Known, Member, OfDeclared, OfDescribed, OfKnown, OfUnknown, Outline, Same, Shape,
    Shaped, Shaping,
};
