//! Maps: a function that is recorded here, and run where the elements are.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use serde::{Serialize, Serializer};

use super::call::Call;
use super::client::Client;
use super::wire::Wire;
use crate::cap::Cap;
use crate::cap::payload::{LivePayload, PayloadRef, encode};
use crate::cap::recorder::Recorder;
use crate::cap::remap::ListWriter;
use crate::cap::value::Value;
use crate::error::{Error, ErrorKind, Fate};
use crate::message::Payload;

/// A list whose elements can be mapped where it is: see [`Call::map`].
///
/// Null and undefined are passed through, so an `Option` of a list is one, too. A [`Value`] may be anything: what is no
/// list is mapped as a single element.
pub trait Elements {
    /// The type of an element.
    type Element;
    /// The type of the list of results.
    type Mapped<R: Wire>: Wire;
}

impl<T> Elements for Vec<T> {
    type Element = T;
    type Mapped<R: Wire> = Vec<R>;
}

impl<T> Elements for Option<Vec<T>> {
    type Element = T;
    type Mapped<R: Wire> = Option<Vec<R>>;
}

impl Elements for Value {
    type Element = Value;
    type Mapped<R: Wire> = Value;
}

/// A placeholder for a value that is not there yet, inside the function that [`Call::map`] takes.
///
/// One for a client has the client's methods. One for any other value goes into calls of [`Cap::invoke`] and
/// [`Cap::apply`], and into the result. Nothing can be asked of it: outside of the map, calls on it fail.
pub struct Element<T> {
    cap: Cap,
    client: OnceLock<T>,
}

impl<T> Element<T> {
    fn new(cap: Cap) -> Self {
        Self { cap, client: OnceLock::new() }
    }

    /// Returns a placeholder for the member `name` of the value.
    pub fn at<U>(&self, name: &str) -> Element<U> {
        Element::new(self.cap.at(name))
    }

    /// Returns the reference behind the placeholder.
    pub fn cap(&self) -> &Cap {
        &self.cap
    }
}

impl<T: Elements> Element<T> {
    /// Maps the value, which is a list itself.
    pub fn map<R: Mapped>(&self, record: impl FnOnce(Element<T::Element>) -> R) -> Call<T::Mapped<R::Value>>
    where
        T: Wire,
    {
        self.cap.read::<T>().map(record)
    }
}

impl<C: Client> Deref for Element<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.client.get_or_init(|| C::from_cap(self.cap.clone()))
    }
}

impl<T> Clone for Element<T> {
    fn clone(&self) -> Self {
        Self::new(self.cap.clone())
    }
}

impl<T> fmt::Debug for Element<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Element").finish_non_exhaustive()
    }
}

impl<T> Serialize for Element<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.cap.serialize(serializer)
    }
}

/// The result that the function of a map may have: a call that is not awaited, a client, an [`Element`], a [`Value`], or
/// a tuple or list of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the result of a map",
    label = "this is no call, client, `Element` or `Value`, nor a tuple or list of these",
    note = "return the call without awaiting it: `ids.map(|id| api.get(id))`",
    note = "a literal is a `capnode::Value`: `Value::from(5)`"
)]
pub trait Mapped {
    /// The type of the result.
    type Value: Wire;
    #[doc(hidden)]
    fn part(self) -> Result<LivePart, Error>;
}

/// A part of the result that is being recorded.
#[doc(hidden)]
#[derive(Debug)]
pub struct LivePart(LivePayload);

impl LivePart {
    fn reference(cap: Cap) -> Self {
        Self(Payload::reference(PayloadRef::Cap(cap)))
    }
}

impl<T: Wire, F> Mapped for Call<T, F> {
    type Value = T;

    fn part(self) -> Result<LivePart, Error> {
        self.element().map(|element| LivePart::reference(element.cap))
    }
}

impl<T: Wire> Mapped for Element<T> {
    type Value = T;

    fn part(self) -> Result<LivePart, Error> {
        Ok(LivePart::reference(self.cap))
    }
}

impl<C: Client> Mapped for C {
    type Value = C;

    fn part(self) -> Result<LivePart, Error> {
        Ok(LivePart::reference(self.into()))
    }
}

impl Mapped for Value {
    type Value = Value;

    fn part(self) -> Result<LivePart, Error> {
        encode(&self).map(LivePart)
    }
}

impl Mapped for () {
    type Value = ();

    fn part(self) -> Result<LivePart, Error> {
        encode(&()).map(LivePart)
    }
}

impl<R: Mapped> Mapped for Vec<R> {
    type Value = Vec<R::Value>;

    fn part(self) -> Result<LivePart, Error> {
        list(self.into_iter().map(R::part))
    }
}

fn list(parts: impl IntoIterator<Item = Result<LivePart, Error>>) -> Result<LivePart, Error> {
    let mut list = ListWriter::new();
    for part in parts {
        list.push(PayloadRef::outcome(part?.0));
    }
    Ok(LivePart(list.end()))
}

macro_rules! tuples {
    ($(($($part:ident $at:tt),*))*) => { $(
        impl<$($part: Mapped),*> Mapped for ($($part,)*) {
            type Value = ($($part::Value,)*);

            fn part(self) -> Result<LivePart, Error> {
                list([$(self.$at.part()),*])
            }
        }
    )* };
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

impl<T: Elements, F> Call<T, F> {
    /// Maps the list that this call gives, where it is: a peer that speaks Cap'n Web does for each element what `record`
    /// does, and sends the results alone. Both go out at once, so this takes one round trip for any number of elements.
    ///
    /// `record` runs once, here and now, with an [`Element`] in the place of the elements. The calls that it returns,
    /// pipelines on or sends are recorded, and made for each element. It cannot look at the element or await anything,
    /// and whatever else it does is done once. A client's element has the client's methods. An element of any other type
    /// goes into calls by name, as in [`Cap::invoke`], since a method takes no placeholder for a plain value.
    ///
    /// ```
    /// use capnode::Client;
    ///
    /// #[capnode::interface]
    /// trait Directory {
    ///     async fn users(&self) -> Vec<UserClient>;
    ///     async fn ids(&self) -> Vec<u32>;
    ///     async fn name(&self, id: u32) -> String;
    /// }
    ///
    /// #[capnode::interface]
    /// trait User {
    ///     async fn name(&self) -> String;
    /// }
    ///
    /// # struct Ann;
    /// # impl User for Ann {
    /// #     async fn name(&self) -> String {
    /// #         "ann".to_owned()
    /// #     }
    /// # }
    /// # struct Ours;
    /// # impl Directory for Ours {
    /// #     async fn users(&self) -> Vec<UserClient> {
    /// #         vec![UserClient::new(Ann)]
    /// #     }
    /// #     async fn ids(&self) -> Vec<u32> {
    /// #         vec![7, 8]
    /// #     }
    /// #     async fn name(&self, id: u32) -> String {
    /// #         format!("n{id}")
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), capnode::Error> {
    /// # let directory = DirectoryClient::new(Ours);
    /// // An element that is a client has its methods.
    /// let names: Vec<String> = directory.users().map(|user| user.name()).await?;
    /// assert_eq!(names, ["ann"]);
    ///
    /// // Any other goes into calls by name, and into the result.
    /// let by_id = directory.ids().map(|id| (id.clone(), directory.cap().invoke::<String>("name", (id,))));
    /// assert_eq!(by_id.await?, [(7, "n7".to_owned()), (8, "n8".to_owned())]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The elements are begun in order. The map fails with the first failure of a call whose result is used; calls that
    /// have begun by then may run on at a peer. A list of this program, and one of a peer whose language has no maps, is
    /// mapped here, by a call for each element. The map has the deadline and the metadata of this call, and those that are
    /// set on what this returns.
    ///
    /// # Errors
    ///
    /// The call fails, as not sent, if something in `record` cannot be recorded.
    pub fn map<R: Mapped>(
        self,
        record: impl FnOnce(Element<T::Element>) -> R,
    ) -> Call<T::Mapped<R::Value>, F> {
        self.mapped(|source| {
            let record = |element| record(Element::new(element)).part().map(|part| part.0);
            Recorder::record(source, record).map_err(|error| error.with_fate(Fate::NotSent))
        })
    }
}

impl<T, F> Call<T, F> {
    /// Records the call, inside the function of a map, and returns a placeholder for its result.
    ///
    /// # Errors
    ///
    /// If no map is being recorded, or the call has been polled.
    pub fn element(self) -> Result<Element<T>, Error> {
        let recorder = Recorder::current().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "there is an element of a call only inside a map")
        })?;
        self.into_source().map(|source| Element::new(recorder.call(source)))
    }
}
