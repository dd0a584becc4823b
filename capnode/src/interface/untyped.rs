//! Calls on references of which no interface is at hand.

use super::args::UntypedArgs;
use super::call::Call;
use super::wire::{Offer, Wire};
use crate::cap::{Cap, data, payload};
use crate::error::Error;
use crate::message::{Key, Path, Text, Verb};

impl Cap {
    /// Returns a reference to a value. Parts of the value can be read by [`get`](Cap::get), and functions in it be called by
    /// [`invoke`](Cap::invoke), as if it were an object.
    ///
    /// ```
    /// use capnode::{Cap, Value};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), capnode::Error> {
    /// let cap = Cap::holding(&Value::from([("answer", Value::from(42))]))?;
    /// assert_eq!(cap.get::<u32>("answer").await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the value cannot be written.
    pub fn holding(value: &impl Offer) -> Result<Self, Error> {
        payload::encode(value).map(data::to_cap)
    }

    /// Calls the method `name` without an interface at hand. The arguments are a tuple of values
    /// that serialize.
    pub fn invoke<T: Wire>(&self, name: &str, args: impl UntypedArgs) -> Call<T> {
        Call::untyped(self, Path::One(Key::Name(Text::Own(name.to_owned()))), Some(&args))
    }

    /// Calls the thing itself, which has to be a function.
    pub fn apply<T: Wire>(&self, args: impl UntypedArgs) -> Call<T> {
        Call::untyped(self, Path::Empty, Some(&args))
    }

    /// Reads the property `name`.
    pub fn get<T: Wire>(&self, name: &str) -> Call<T> {
        let path = Path::One(Key::Name(Text::Own(name.to_owned())));
        Call::untyped(self, path, None)
    }

    /// Sets the property `name`, where the owner lets others do so: see [`Object`](crate::Object). Cap'n Web has no
    /// word for it; over that it fails, as not sent.
    pub fn put(&self, name: &str, value: impl Offer) -> Call<()> {
        self.verb(Some(name), Verb::Set, Some(&(value,)))
    }

    /// Deletes the property `name`, where the owner lets others do so. Not over Cap'n Web.
    pub fn delete(&self, name: &str) -> Call<()> {
        self.verb(Some(name), Verb::Delete, Some(&()))
    }

    /// Returns the names of the properties. Not over Cap'n Web.
    pub fn keys(&self) -> Call<Vec<String>> {
        self.verb(None, Verb::Keys, Some(&()))
    }

    fn verb<T: Wire>(&self, name: Option<&str>, verb: Verb, args: Option<&dyn UntypedArgs>) -> Call<T> {
        let name = name.map(|name| Key::Name(Text::Own(name.to_owned())));
        Call::untyped(self, name.into_iter().chain([Key::Verb(verb)]).collect(), args)
    }

    /// Reads the thing itself: the value, if this stands for one, or a nearer reference to the
    /// same object, once it is known.
    pub fn read<T: Wire>(&self) -> Call<T> {
        Call::untyped(self, Path::Empty, None)
    }
}
