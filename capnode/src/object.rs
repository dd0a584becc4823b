//! Objects that are put together at run time.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cap::local::{Local, RequestTarget};
use crate::cap::methods::MethodArgs;
use crate::cap::missing::not_a_function;
use crate::cap::payload::{LivePayload, PayloadRef, encode, held_len, undefined};
use crate::cap::request::{Member as Asked, Request};
use crate::cap::response::{FirstPoll, Reply, Response};
use crate::cap::slot::decode;
use crate::cap::value::Value;
use crate::cap::weak::WeakBody;
use crate::cap::{Cap, data};
use crate::error::{Error, ErrorKind};
use crate::interface::{Offer, args};
use crate::message::{Key, Payload, Verb};
use crate::reserved::is_reserved;
use crate::sync::{Mutex, lock};

/// An object put together at run time, of plain values, functions and references to other objects. Others may read it,
/// and write, delete and list its properties as far as its owner allows.
///
/// A holder of a reference uses it by [`Cap::get`], [`Cap::put`], [`Cap::delete`], [`Cap::keys`] and [`Cap::invoke`]; a
/// peer that speaks Q-Connection by the operations of that name. A Capnode peer sees it as a record of its current
/// properties.
///
/// Names that JavaScript gives a meaning of its own (`constructor`, `then`, `toJSON`, …) are visible to the owner
/// alone.
///
/// Cheap to clone; a clone is the same object.
///
/// ```
/// use capnode::{Func, Object};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let object = Object::new()
///     .with("name", "ann")
///     .with("double", Func::<fn(u32) -> u32>::new(|x: u32| async move { 2 * x }))
///     .with_writable("mood", "fine");
///
/// // What the other side of a connection can do.
/// let theirs = object.cap();
/// assert_eq!(theirs.get::<String>("name").await?, "ann");
/// assert_eq!(theirs.invoke::<u32>("double", (4,)).await?, 8);
/// assert_eq!(theirs.keys().await?, ["name", "double", "mood"]);
/// theirs.put("mood", "great").await?;
/// assert!(theirs.put("name", "bob").await.is_err());
///
/// assert_eq!(object.get::<String>("mood")?, "great");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Object(Arc<Inner>);

#[derive(Default)]
struct Inner(Mutex<Members>);

struct Members {
    list: Vec<Member>,
    /// `true` if others may add properties.
    open: bool,
    /// The most writable properties, those included that others add.
    limit: usize,
    /// The most bytes of the writable properties.
    bytes: usize,
}

struct Member {
    name: String,
    value: MemberValue,
    /// `true` if others may set and delete it.
    writable: bool,
}

/// The value of a property.
#[derive(Clone)]
enum MemberValue {
    /// A value of the owner, or one without references.
    Own(LivePayload),
    /// A value that a peer has set. It holds this program's references weakly, or an object could be made to keep
    /// itself.
    Set(WeakBody),
}

impl MemberValue {
    /// Returns the value that a caller other than the owner sets.
    fn set(value: LivePayload, by_peer: bool) -> Result<Self, Error> {
        if by_peer && !value.refs.is_empty() {
            WeakBody::new(value).map(MemberValue::Set)
        } else {
            Ok(MemberValue::Own(value))
        }
    }

    fn body(self) -> LivePayload {
        match self {
            MemberValue::Own(body) => body,
            MemberValue::Set(weak) => weak.get(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            MemberValue::Own(body) => held_len(body),
            MemberValue::Set(weak) => weak.len(),
        }
    }
}

impl Default for Members {
    fn default() -> Self {
        Self { list: Vec::new(), open: false, limit: 1_024, bytes: 1 << 20 }
    }
}

impl Member {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.bytes()
    }
}

impl Object {
    /// Creates an empty object, which others can only read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a property that others can only read: any value that serializes, a function, a client. If the value cannot
    /// be written, reads of it fail with that error.
    pub fn with(self, name: &str, value: impl Offer) -> Self {
        self.put(name, encode(&value), false);
        self
    }

    /// Adds a property that others can read, set and delete.
    pub fn with_writable(self, name: &str, value: impl Offer) -> Self {
        self.put(name, encode(&value), true);
        self
    }

    /// Lets others add properties, which are writable then. All writable properties together are at most 1,024, with at
    /// most 1 MiB of names and values.
    ///
    /// A value that a peer sets keeps nothing of this program alive: a reference to an object here, perhaps to this
    /// one, breaks once nothing else holds that object. A reference to an object of the peer works until its connection
    /// ends. This also holds for [writable](Self::with_writable) properties. A value that is set within this program,
    /// by [`set`](Self::set) or [`Cap::put`], is kept.
    pub fn open(self) -> Self {
        lock(&self.0.0).open = true;
        self
    }

    fn put(&self, name: &str, value: Result<LivePayload, Error>, writable: bool) {
        let broken =
            |error: Error| Payload::reference(PayloadRef::Cap(Cap::broken(error.with_context(name))));
        let member =
            Member { name: name.to_owned(), value: MemberValue::Own(value.unwrap_or_else(broken)), writable };
        let replaced = lock(&self.0.0).insert(member);
        drop(replaced);
    }

    /// Returns the reference to hand out.
    pub fn cap(&self) -> Cap {
        Cap::from_local(Local::new(self.0.clone(), &ObjectTarget))
    }

    /// Reads a property, as its owner.
    ///
    /// # Errors
    ///
    /// If it is of another type. A missing one is undefined, which an `Option` or `()` takes.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let value = lock(&self.0.0).find(name).map(|member| member.value.clone());
        decode(&value.map_or_else(undefined, MemberValue::body)).map_err(|error| error.with_context(name))
    }

    /// Sets a property, as its owner. Others can only read a new one.
    ///
    /// # Errors
    ///
    /// If the value cannot be written.
    pub fn set(&self, name: &str, value: impl Offer) -> Result<(), Error> {
        let value = encode(&value)?;
        let writable = lock(&self.0.0).find(name).is_some_and(|member| member.writable);
        self.put(name, Ok(value), writable);
        Ok(())
    }

    /// Deletes a property, as its owner. Returns `true` if it was there.
    pub fn remove(&self, name: &str) -> bool {
        let removed = lock(&self.0.0).remove(name);
        removed.is_some()
    }

    /// Returns the names of the properties, in the order in which they were added.
    pub fn names(&self) -> Vec<String> {
        lock(&self.0.0).list.iter().map(|member| member.name.clone()).collect()
    }
}

impl Members {
    /// Returns the members that others can see: those without a reserved name.
    fn visible(&self) -> impl Iterator<Item = &Member> {
        self.list.iter().filter(|member| !is_reserved(&member.name))
    }

    fn find(&self, name: &str) -> Option<&Member> {
        self.list.iter().find(|member| member.name == name)
    }

    /// Inserts a member. Returns the one before it, to be dropped where no lock is held.
    fn insert(&mut self, member: Member) -> Option<Member> {
        match self.list.iter_mut().find(|old| old.name == member.name) {
            Some(old) => Some(std::mem::replace(old, member)),
            None => {
                self.list.push(member);
                None
            }
        }
    }

    fn remove(&mut self, name: &str) -> Option<Member> {
        let at = self.list.iter().position(|member| member.name == name)?;
        Some(self.list.remove(at))
    }

    /// Sets a property for a caller other than the owner. Returns the old or refused member, to be dropped where no
    /// lock is held.
    fn set(&mut self, member: Member) -> (Result<(), Error>, Option<Member>) {
        match self.may_set(&member) {
            Ok(()) => (Ok(()), self.insert(member)),
            Err(error) => (Err(error), Some(member)),
        }
    }

    fn may_set(&self, member: &Member) -> Result<(), Error> {
        let name = &member.name;
        let refused = |why: &str| Err(Error::type_error(format!("'{name}' cannot be set: {why}")));
        match self.find(name) {
            Some(old) if !old.writable => return refused("it can only be read"),
            None if !self.open => return refused("no property can be added"),
            _ => {}
        }
        let others = self.list.iter().filter(|other| other.writable && other.name != *name);
        let own = (1, member.bytes());
        let (count, bytes) = others.fold(own, |(count, bytes), other| (count + 1, bytes + other.bytes()));
        if count > self.limit || bytes > self.bytes {
            let message = format!("'{name}' cannot be set: the object has no room for it");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    /// Deletes a property for a caller other than the owner.
    fn delete(&mut self, name: &str) -> Result<Option<Member>, Error> {
        match self.find(name) {
            Some(member) if !member.writable => {
                Err(Error::type_error(format!("'{name}' cannot be deleted: it can only be read")))
            }
            _ => Ok(self.remove(name)),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.cap().serialize(serializer)
    }
}

impl From<Object> for Cap {
    fn from(object: Object) -> Self {
        object.cap()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.names()).finish()
    }
}

struct ObjectTarget;

impl RequestTarget for ObjectTarget {
    fn name(&self) -> &'static str {
        "object"
    }

    fn request(&self, local: Local, request: &mut Request, _: Option<FirstPoll<'_>>) -> Response {
        match local.clone().downcast::<Inner>() {
            Some(inner) => inner.request(&local, request.take()),
            None => Response::error(Error::type_error("not an object")),
        }
    }

    fn as_record(&self, local: &Local) -> Option<LivePayload> {
        local.clone().downcast::<Inner>().and_then(|inner| inner.as_record().ok())
    }
}

fn done(outcome: Result<(), Error>) -> Response {
    match outcome {
        Ok(()) => Response::wire(undefined()),
        Err(error) => Response::error(error),
    }
}

impl Inner {
    fn request(&self, local: &Local, mut request: Request) -> Response {
        let path = request.member.clone().into_path();
        match path.as_slice() {
            [] if request.args.is_read() => {
                Response::wire(Payload::reference(PayloadRef::Cap(Cap::from_local(local.clone()))))
            }
            [] => Response::error(not_a_function(None)),
            [Key::Verb(Verb::Keys)] => {
                let names: Vec<String> = lock(&self.0).visible().map(|member| member.name.clone()).collect();
                Response::ready(encode(&names).map(Reply::Wire))
            }
            [Key::Name(name), Key::Verb(Verb::Set)] => {
                let by_peer = request.options.by_peer;
                let value = args::take::<(Value,)>(&mut MethodArgs::Request(&mut request.args), &["value"])
                    .and_then(|(value,)| encode(&value))
                    .and_then(|value| MemberValue::set(value.compact(), by_peer));
                match value {
                    Ok(value) => {
                        let member = Member { name: name.as_str().to_owned(), value, writable: true };
                        let (outcome, left) = lock(&self.0).set(member);
                        drop(left);
                        done(outcome)
                    }
                    Err(error) => {
                        Response::error(error.with_context(format_args!("'{}'", path.as_slice()[0])))
                    }
                }
            }
            [Key::Name(name), Key::Verb(Verb::Delete)] => {
                let deleted = lock(&self.0).delete(name.as_str());
                done(deleted.map(drop))
            }
            [first @ Key::Name(name), ..] => {
                let value = lock(&self.0).find(name.as_str()).map(|member| member.value.clone());
                let member = Asked::Path(path.after(1));
                data::look_from(
                    value.map_or_else(undefined, MemberValue::body),
                    Some(first),
                    Request { member, ..request },
                )
            }
            [first, ..] => {
                let member = Asked::Path(path.after(1));
                data::look_from(undefined(), Some(first), Request { member, ..request })
            }
        }
    }

    /// Returns all visible properties, as a value.
    fn as_record(&self) -> Result<LivePayload, Error> {
        /// The members, each with its encoded value.
        struct Record(Vec<(String, Value)>);

        impl Serialize for Record {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
            }
        }

        let members: Vec<(String, MemberValue)> =
            lock(&self.0).visible().map(|member| (member.name.clone(), member.value.clone())).collect();
        let read = |(name, value): (String, MemberValue)| Ok((name, decode(&value.body())?));
        encode(&Record(members.into_iter().map(read).collect::<Result<_, Error>>()?))
    }
}
