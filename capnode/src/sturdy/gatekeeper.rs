//! The object at which references are had for texts, and what is done for each of its calls.

use std::cell::RefCell;
use std::time::UNIX_EPOCH;

use super::admit::{Admission, Room};
use super::documents::{self, Challenge, REDEEM, REVOKE, VERBS, branch, limits, result_tag, url};
use super::limit::{Limit, tag};
use super::owner::{Kept, Owner};
use super::refusal::{Refusal, Rule};
use super::results::{Place, Waits};
use super::revoked::Revocation;
use super::rows::{end_by, seconds};
use super::text::Sturdy;
use crate::cap::context::context;
use crate::cap::{Cap, RefKind};
use crate::error::{CallError, Error};
use crate::interface::call::Call;
use crate::runtime::start;
use crate::signed::{self, AWAIT, Link, LinkName, Permit, Step, Taken, target};
use crate::sync::lock;
use crate::value::Value;

/// Gives references for texts, and takes signed documents.
#[crate::interface(crate = crate)]
pub trait Gatekeeper {
    /// Returns the reference that `text` stands for: a sturdy reference, or another credential that the owner
    /// [takes](super::OwnerBuilder::authenticator). A signed [invocation](crate::signed::Invocation) of the action `redeem` is
    /// taken as well, once.
    ///
    /// Of a gatekeeper that is a [durable reference](crate::guide::reconnecting) the result is one as well: a sturdy reference
    /// is redeemed again on each new connection. An invocation is taken only once, so it is for [`Signed::redeem`](super::Signed::redeem),
    /// which has a reference that ends with its connection.
    #[capnode(rederive)]
    async fn redeem(&self, text: &str) -> Result<Cap, Error>;

    /// Calls the method that a signed invocation names, with its arguments, once.
    ///
    /// By the action `await` it returns the result of a call that was [kept](Self::keep), as soon as that is there: the target
    /// is the result's [URL](signed::Invocation::result), and the chain has a link for just that URL from the key that has made
    /// the call. A call that has not come yet is waited for 30 seconds. At most 64 wait at a time, of those with as many links
    /// below one of the owner's own.
    async fn invoke(&self, invocation: &str) -> Result<Value, Error>;

    /// Has the method called that a signed invocation names, whose link also allows `await`, and keeps the result for those
    /// to whom the invoker delegates that. Returns when the call has begun, which then does not need the invoker.
    ///
    /// The result is kept in the owner's store until one of the links of the invocation ends: at most 64 of one link and 256 of those
    /// with as many links below one of the owner's own, of 64 KiB each. It has no references and streams in it: awaiting such a
    /// one fails. Of an error the class and the message are kept. Awaiting a call fails that ran when the owner was restarted, with
    /// [`Rule::Interrupted`], and one whose result its store could not keep, with [`Rule::Owner`]. The owner waits by
    /// [`Owner::settled`] until no such call runs; [`Node::drain`](crate::Node::drain) does not. Over a connection such errors,
    /// and no error of the call itself, have a property `code`: see [`Refusal`](super::Refusal). If no call has come, it is `ENORESULT`.
    ///
    /// The invocation is used up also if the call is then not made, such as for want of room: once is once. Its maker signs another,
    /// whose result has another URL.
    async fn keep(&self, invocation: &str) -> Result<(), Error>;

    /// Returns a nonce for the next invocation, which has to carry it over a connection that is not encrypted. The answer
    /// shows that it comes from the owner. `nonce` is one of the caller's, of 16 to 128 printable characters of ASCII, without spaces.
    async fn challenge(&self, nonce: &str) -> Result<Challenge, Error>;

    /// Takes back the link of a signed invocation of the action `revoke`, or one below it that is its argument, with all that
    /// were delegated from it.
    async fn revoke(&self, invocation: &str) -> Result<(), Error>;
}

impl Sturdy {
    /// Hands the text to the owner's gatekeeper for a reference, on which calls can be made at once:
    /// [`Call::pipeline_cap`].
    pub fn redeem(&self, gatekeeper: &GatekeeperClient) -> Call<Cap, CallError<Error>> {
        gatekeeper.redeem(&self.reveal())
    }
}

/// A result that is awaited.
#[crate::interface(crate = crate)]
trait Awaited {
    #[capnode(read)]
    async fn get(&self) -> Result<Value, Error>;
}

struct KeptResult {
    owner: Owner,
    place: Place,
    _waits: Waits,
}

impl Awaited for KeptResult {
    async fn get(&self) -> Result<Value, Error> {
        let outcome = self.owner.results().get(&self.place).await;
        outcome.map_err(|refusal| self.owner.refused(refusal))?
    }
}

impl Gatekeeper for Owner {
    async fn redeem(&self, text: &str) -> Result<Cap, Error> {
        let taken = if text.starts_with("capnode:") {
            self.take(text).await
        } else if text.starts_with('{') && self.documents().is_ok() {
            self.redeem_document(text).await
        } else {
            self.authenticate(text)
        };
        taken.map_err(|refusal| self.refused(refusal))
    }

    async fn invoke(&self, invocation: &str) -> Result<Value, Error> {
        let invoked = async {
            let permit = self.take_invocation(invocation)?;
            if permit.action == AWAIT {
                return Ok((self.awaited(permit)?, "get".to_owned(), Vec::new()));
            }
            self.invoked(permit).await
        };
        let (cap, method, args) = invoked.await.map_err(|refusal| self.refused(refusal))?;
        cap.invoke(&method, args).await
    }

    async fn keep(&self, invocation: &str) -> Result<(), Error> {
        self.kept_call(invocation).await.map_err(|refusal| self.refused(refusal))
    }

    async fn challenge(&self, nonce: &str) -> Result<Challenge, Error> {
        let documents = self.documents().map_err(|refusal| self.refused(refusal))?;
        let given = documents.challenge(nonce, seconds(self.now())).await;
        given.map_err(|refusal| self.refused(refusal))
    }

    async fn revoke(&self, invocation: &str) -> Result<(), Error> {
        self.revoke_invoked(invocation).map_err(|refusal| self.refused(refusal))
    }
}

impl Owner {
    /// Returns the URL of an object that is kept, to [issue](signed::Delegation::issue) links to it. Narrower targets name its
    /// properties.
    ///
    /// # Errors
    ///
    /// If there is no such object, or the owner takes no documents.
    pub fn url(&self, id: &str) -> Result<String, Error> {
        self.kept(id)?;
        Ok(format!("{}/{id}", self.documents()?.verifier.origin()))
    }

    /// Revokes a link, with all that were delegated from it. What was redeemed by them ends.
    ///
    /// # Errors
    ///
    /// If the link is none of this owner's or has expired, or the store fails.
    pub fn revoke_link(&self, link: &Link) -> Result<(), Error> {
        let links = self.check_link(&link.to_string())?;
        Ok(self.end_link(&links, 0)?)
    }

    fn check_link(&self, link: &str) -> Result<Vec<Step>, Refusal> {
        self.documents()?.verifier.check_link(link, self.now()).map_err(Refusal::of_document)
    }

    /// Revokes the last of the links for the holder of one of the first, so many, or the owner.
    fn end_link(&self, links: &[Step], by: usize) -> Result<(), Refusal> {
        let Some(last) = links.last() else { return Ok(()) };
        let tags: Vec<_> = links.iter().map(|link| tag(&link.name, None)).collect();
        self.admissions().revoke_link(&Revocation { tags: &tags, by, end: end_by(last.expires) })
    }

    /// Takes an invocation of an action, once, with a nonce where anybody can read along.
    fn take_invocation(&self, text: &str) -> Result<Permit, Refusal> {
        let documents = self.documents()?;
        let now = self.now();
        let is_public =
            context().is_some_and(|context| context.caller().is_some_and(|caller| !caller.is_encrypted()));
        let failed = RefCell::new(None);
        let is_revoked = |link: &LinkName| match self.admissions().is_revoked(&tag(link, None)) {
            Ok(is_revoked) => is_revoked,
            Err(refusal) => {
                failed.replace(Some(refusal));
                true
            }
        };
        let is_fresh = |nonce: &str| documents.is_fresh(nonce, seconds(now));
        let keep = |taken: &Taken| {
            let _changing = lock(&self.admissions().changing);
            let kept = documents::keep(&*self.admissions().store, taken);
            kept.map_err(|error| failed.replace(Some(Refusal::owner(error)))).is_ok()
        };
        let taken = documents.verifier.take_fresh(text, is_public, now, is_fresh, is_revoked, keep);
        taken.map_err(|refusal| failed.take().unwrap_or_else(|| Refusal::of_document(refusal)))
    }

    /// Returns the object whose URL is the permit's root.
    fn object(&self, permit: &Permit) -> Result<Kept, Refusal> {
        let id = permit.root.rsplit('/').next().unwrap_or_default();
        let kept = self.kept(id)?;
        if permit.root != format!("{}/{id}", self.documents()?.verifier.origin()) {
            return Err(Rule::Object.broken());
        }
        Ok(kept)
    }

    /// Returns the target of the permit behind the limits of all its links.
    async fn permitted(&self, permit: Permit) -> Result<Cap, Refusal> {
        let kept = self.object(&permit)?;
        let limits = limits(&permit);
        let by = admission(kept.id.clone(), permit.links, limits);
        let room = self.admissions().enter(&by)?;
        let mut cap = self.restore(&kept).await?;
        for name in &permit.path {
            cap = cap.get::<Cap>(name).await.map_err(Refusal::owner)?;
            if matches!(cap.ref_kind(), RefKind::Function) {
                return Err(Rule::Object.broken());
            }
        }
        self.admit(&cap, (by, room))
    }

    fn admit(&self, cap: &Cap, (by, room): (Admission, Room)) -> Result<Cap, Refusal> {
        let object = by.object.clone();
        self.admissions().admit(cap, (by, room), || self.kept(&object).map(drop))
    }

    /// Returns what gives the result that the permit's target names, behind the limits of all its links.
    fn awaited(&self, permit: Permit) -> Result<Cap, Refusal> {
        let (object, url) = (self.object(&permit)?.id, url(&permit));
        // Whoever was first to name the result: links below have the same target.
        let (maker, above) = match permit.links.iter().position(|link| link.target == url) {
            Some(named) => (&permit.links[named].name.delegator, &permit.links[..named]),
            None => (&permit.invoker, &permit.links[..]),
        };
        let place = Place::new(&object, above, &result_tag(maker, url));
        // No method of the object is called.
        let limits =
            limits(&permit).into_iter().filter(|limit| !matches!(limit, Limit::Methods(_))).collect();
        let kept = KeptResult { owner: self.clone(), place, _waits: self.results().enter(&permit.links)? };
        let awaited = AwaitedClient::new(kept);
        let by = admission(object, permit.links, limits);
        let room = self.admissions().enter(&by)?;
        self.admit(&awaited.into(), (by, room))
    }

    /// Begins the call of an invocation, and keeps its result.
    async fn kept_call(&self, text: &str) -> Result<(), Refusal> {
        let permit = self.take_invocation(text)?;
        if !permit.actions.iter().any(|action| action == AWAIT) {
            let broken = signed::Rule::Action.broken("without `await` nobody could have the result");
            return Err(Refusal::of_document(broken));
        }
        let result = target::child(&url(&permit), &permit.id).map_err(Refusal::of_document)?;
        let tag = result_tag(&permit.invoker, result);
        let object = self.object(&permit)?.id;
        let place = Place::new(&object, &permit.links, &tag);
        let until = permit.links.iter().map(|link| link.expires).min().unwrap_or(UNIX_EPOCH);
        let (cap, method, args) = self.invoked(permit).await?;
        self.results().begin(&place, until, || self.kept(&object).map(drop))?;
        let owner = self.clone();
        // Outside of this call, whose deadline is not that of the other.
        let _runs_by_itself = start(async move {
            let outcome = cap.invoke(&method, args).await;
            if let Err(error) = owner.results().end(&place, outcome) {
                let _told_to_nobody_else = owner.refused(Refusal::owner(error));
            }
        });
        Ok(())
    }

    pub(super) async fn redeem_document(&self, text: &str) -> Result<Cap, Refusal> {
        let permit = self.take_invocation(text)?;
        if permit.action != REDEEM {
            return Err(other_action(&permit));
        }
        self.permitted(permit).await
    }

    /// Returns the reference whose method is to be called, and the arguments.
    async fn invoked(&self, permit: Permit) -> Result<(Cap, String, Vec<Value>), Refusal> {
        if VERBS.contains(&permit.action.as_str()) {
            return Err(other_action(&permit));
        }
        let args = permit.args.as_deref().unwrap_or("[]");
        let args = serde_json::from_str(args).map_err(|_| Rule::Shape.broken())?;
        let action = permit.action.clone();
        Ok((self.permitted(permit).await?, action, args))
    }

    /// Revokes the invoker's link, or one below it that is the argument.
    pub(super) fn revoke_invoked(&self, text: &str) -> Result<(), Refusal> {
        let permit = self.take_invocation(text)?;
        if permit.action != REVOKE {
            return Err(other_action(&permit));
        }
        let args = permit.args.as_deref().unwrap_or("[]");
        let below: Vec<String> = serde_json::from_str(args).map_err(|_| Rule::Shape.broken())?;
        let links = match below.as_slice() {
            [] => permit.links.clone(),
            [link] => self.check_link(link)?,
            _ => return Err(Rule::Shape.broken()),
        };
        let own = permit.links.iter().map(|link| &link.name);
        if !own.eq(links.iter().take(permit.links.len()).map(|link| &link.name)) {
            return Err(Rule::Link.broken());
        }
        self.end_link(&links, permit.links.len())
    }
}

/// Returns what is given by links to an object.
fn admission(object: String, links: Vec<Step>, limits: Vec<Limit>) -> Admission {
    let tags = links.iter().map(|link| tag(&link.name, None)).collect();
    Admission { object, branch: branch(&links), key: None, limits, tags, links }
}

fn other_action(permit: &Permit) -> Refusal {
    Refusal::of_document(signed::Rule::Action.broken(format!("`{}` is for another method", permit.action)))
}
