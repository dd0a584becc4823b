//! The forms in which a program has a reference.

use super::client::Client;
use super::func::Func;
use crate::cap::Cap;

/// A form in which a program has a reference, such as that to the index of a peer: a client, a [`Func`], or a [`Cap`].
/// `Connection::index` returns any of them.
#[diagnostic::on_unimplemented(
    message = "a reference can't be had as `{Self}`",
    label = "this gives the client of an interface, a `Func` or a `Cap`",
    note = "say which: `let chat: ChatClient = ..`"
)]
pub trait FromCap: Sized + Send {
    #[doc(hidden)]
    fn from_reference(cap: Cap) -> Self;
}

impl FromCap for Cap {
    fn from_reference(cap: Cap) -> Self {
        cap
    }
}

impl<F: ?Sized> FromCap for Func<F> {
    fn from_reference(cap: Cap) -> Self {
        Self::from_cap(cap)
    }
}

#[diagnostic::do_not_recommend]
impl<C: Client> FromCap for C {
    fn from_reference(cap: Cap) -> Self {
        Self::from_cap(cap)
    }
}
