//! Typed clients: the part of the macro's output that all have in common.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cap::interface::Interface;
use crate::cap::{Cap, RefKind};

/// A typed client, such as the `ChatClient` that the attribute makes of a trait `Chat`.
///
/// A client has the methods of its interface and no others. The operations of every reference are those of its [`Cap`],
/// which [`cap`](Client::cap) gives.
///
/// ```
/// use capnode::Client;
///
/// #[capnode::interface]
/// trait Store {
///     async fn get(&self, key: &str) -> Option<u32>;
/// }
///
/// # async fn example(store: StoreClient) -> Result<(), capnode::Error> {
/// let by_the_interface: Option<u32> = store.get("answer").await?;
/// let by_its_name: Option<u32> = store.cap().invoke("get", ("answer",)).await?;
/// # Ok(())
/// # }
/// ```
///
/// An object that hands out a client of itself keeps a `Weak` to itself, since by a client of its own it would live for
/// ever. While one of its methods runs, it is there:
///
/// ```
/// use std::sync::{Arc, Weak};
///
/// #[capnode::interface]
/// trait Counter {
///     async fn add(&self, count: u32) -> CounterClient;
/// }
///
/// struct Tally {
///     this: Weak<Tally>,
/// }
///
/// impl Tally {
///     fn client() -> CounterClient {
///         CounterClient::from_arc(Arc::new_cyclic(|this| Tally { this: this.clone() }))
///     }
/// }
///
/// impl Counter for Tally {
///     async fn add(&self, _count: u32) -> CounterClient {
///         CounterClient::from_arc(self.this.upgrade().expect("it is running"))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let counter = Tally::client();
/// assert_eq!(counter.add(1).await?, counter);
/// # Ok(())
/// # }
/// ```
pub trait Client: Into<Cap> + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    #[doc(hidden)]
    const INTERFACE: &'static Interface;

    /// Returns the client for a reference. Nothing is checked: a missing method shows when it is called.
    fn from_cap(cap: Cap) -> Self;

    /// Returns the reference that this client is made of. If the interface has a method of this name, write
    /// `Client::cap(&client)`.
    fn cap(&self) -> &Cap;

    /// Returns the same client, but its calls have the [timeout](crate::Call::timeout) `limit`: see
    /// [`Cap::with_call_time`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use capnode::{Client, ErrorKind};
    ///
    /// #[capnode::interface]
    /// trait Oracle {
    ///     async fn ask(&self, question: &str) -> String;
    /// }
    ///
    /// # struct Silent;
    /// # impl Oracle for Silent {
    /// #     async fn ask(&self, _: &str) -> String {
    /// #         std::future::pending().await
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), capnode::Error> {
    /// # let oracle = OracleClient::new(Silent);
    /// let impatient = oracle.with_call_time(Duration::from_millis(20));
    /// assert_eq!(impatient.ask("when?").await.unwrap_err().kind(), ErrorKind::Timeout);
    /// assert_eq!(impatient, oracle);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "host")]
    #[must_use = "the client itself stays without it"]
    fn with_call_time(&self, limit: std::time::Duration) -> Self {
        Self::from_cap(self.cap().with_call_time(limit))
    }
}

impl<C: Client> From<C> for Cap {
    fn from(client: C) -> Self {
        client.cap().clone().with_kind(RefKind::Object(C::INTERFACE))
    }
}

/// A trait that every interface extends, by which the macro knows an interface among the written supertraits.
#[doc(hidden)]
pub trait AnInterface {
    /// Returns the kind of an interface. It is found before [`Ordinary::__kind`] where a bound says that something is
    /// an interface.
    fn __kind(&self) -> Extendable {
        Extendable
    }
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized> AnInterface for T {}

/// A fallback that is found where no bound says that something is an interface.
#[doc(hidden)]
pub trait Ordinary {
    fn __kind(&self) -> NotExtendable {
        NotExtendable
    }
}

impl<T: ?Sized> Ordinary for T {}

/// The kind of a trait that is an interface, or has one among its supertraits.
#[doc(hidden)]
#[derive(Debug)]
pub struct Extendable;

/// The kind of every other trait.
#[doc(hidden)]
#[derive(Debug)]
pub struct NotExtendable;

/// The kind that a supertrait has to be of.
#[diagnostic::on_unimplemented(
    message = "this supertrait is an interface, or extends one, and is not in `extends(..)`",
    label = "the client lacks its methods",
    note = "name the interface in the attribute, and not here: `#[capnode::interface(extends(..))]`"
)]
#[doc(hidden)]
pub trait Supertrait {}

impl Supertrait for NotExtendable {}

/// Checks the kind of a supertrait.
#[doc(hidden)]
pub fn supertrait(_: impl Supertrait) {}

/// Serializes a client as its reference, with its interface as the kind.
#[doc(hidden)]
pub fn serialize<C: Client, S: serde::Serializer>(client: &C, serializer: S) -> Result<S::Ok, S::Error> {
    client.cap().clone().with_kind(RefKind::Object(C::INTERFACE)).serialize(serializer)
}

/// The client of a parent for the reference that `client` is.
#[doc(hidden)]
pub fn cast<C: Client, P: Client>(client: &C) -> P {
    P::from_cap(client.cap().clone())
}
