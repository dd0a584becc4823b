//! Membranes around typed references.

use super::from_cap::FromCap;
use crate::cap::Cap;
use crate::cap::membrane::Membrane;
use crate::cap::policy::Policy;

/// Returns a stand-in for a client, a [`Func`](crate::Func) or a [`Cap`], to be handed out in its place. `policy` is
/// asked about each call of it, and of all that is reached through it: see [`Membrane`].
///
/// ```
/// use capnode::{membrane, policy};
///
/// #[capnode::interface]
/// trait Account {
///     #[capnode(property)]
///     async fn balance(&self) -> i64;
///     async fn pay(&self, amount: i64);
/// }
///
/// # struct Bank;
/// # impl Account for Bank {
/// #     async fn balance(&self) -> i64 { 5 }
/// #     async fn pay(&self, _amount: i64) {}
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let account = AccountClient::new(Bank);
/// let for_the_auditor = membrane(account, policy::read_only());
/// assert_eq!(for_the_auditor.balance().await?, 5);
/// assert_eq!(for_the_auditor.pay(1).await.unwrap_err().kind(), capnode::ErrorKind::Refused);
/// # Ok(())
/// # }
/// ```
pub fn membrane<C: FromCap + Into<Cap>>(client: C, policy: impl Policy) -> C {
    Membrane::new(policy).wrap(client)
}

/// Returns a stand-in for a reference, and the [`Membrane`] that takes it back: see [`Membrane::revoke`].
pub fn revocable<C: FromCap + Into<Cap>>(client: C) -> (C, Membrane) {
    let membrane = Membrane::new(PassAll);
    (membrane.wrap(client), membrane)
}

/// Passes every call.
struct PassAll;

impl Policy for PassAll {}

impl Membrane {
    /// Returns the stand-in for a client, a [`Func`](crate::Func) or a [`Cap`] of the inside, to be handed out. The same
    /// reference gives the same stand-in as long as that lives.
    pub fn wrap<C: FromCap + Into<Cap>>(&self, client: C) -> C {
        C::from_reference(self.wrap_cap(&client.into()))
    }
}
