//! Items for the macro's output alone.

pub use core::clone::Clone;
pub use core::cmp::{Eq, PartialEq};
pub use core::convert::From;
pub use core::fmt::{Debug, Formatter, Result as FmtResult};
pub use core::future::Future;
pub use core::hash::{Hash, Hasher};
pub use core::marker::PhantomData;
pub use core::ops::Deref;
pub use core::result::Result;
pub use std::sync::Arc;

pub use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::cap::interface::{Ancestors, Interface, Method, Parent, Piece};
pub use crate::cap::response::Response;
#[cfg(feature = "describe")]
pub use crate::describe::{
    Collector, Described, IfOther, IfSame, Known, Member, OfDeclared, OfDescribed, OfKnown, OfUnknown,
    Outline, Same, Shape, Shaped, Shaping, accounted, mention, name_of, ts_rs,
};
pub use crate::interface::args::{ByRef, ByValue, Owned, Passed, Taken};
pub use crate::interface::call::{CallOf, Rederived, call, read, rederived};
pub use crate::interface::func::func;
pub use crate::interface::into_reader::reader;
pub use crate::interface::{
    AnInterface, Invocation, IsResult, Ordinary, cast, promise, serialize, serve, supertrait,
};
pub use crate::threads::{Send, Sync};
#[cfg(feature = "describe")]
pub use core::option::Option::{self, None, Some};
#[cfg(feature = "describe")]
pub use std::path::PathBuf;
#[cfg(feature = "describe")]
pub use std::string::String;
// Bounds of public functions and what they give, which the macro's output does not name.
pub use crate::cap::meter::{Counter, Meter};
pub use crate::interface::args::{Args, ArgsDecoder, BorrowedArg, EncodedArgs, IntoArg, IntoArgs};
pub use crate::interface::client::{Extendable, NotExtendable, Supertrait};
pub use crate::interface::func::{Answers, IsFunc, Signature};
#[cfg(feature = "tokio")]
pub use crate::interface::into_reader::OfBytes;
pub use crate::interface::into_reader::{IsReader, OfResults, OfValues};
pub use crate::interface::map::LivePart;
pub use crate::{
    Call, Cap, Client, Error, Func, IntoFallibleFunc, IntoFunc, IntoReader, Resolver, Serve, Wire,
};
