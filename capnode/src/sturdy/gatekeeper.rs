//! The object at which references are had for texts, and what is done for each of its calls.

use std::cell::RefCell;

use super::admit::Admission;
use super::counters::{ending, seconds};
use super::documents::{self, Challenge, REDEEM, REVOKE, VERBS, branch, caveats, tag};
use super::owner::Owner;
use super::refusal::{Refusal, Rule};
use super::revoked::Revocation;
use super::text::Sturdy;
use crate::cap::context::context;
use crate::cap::{Cap, RefKind};
use crate::error::{CallError, Error};
use crate::interface::call::Call;
use crate::signed::{self, Link, LinkName, Permit, Step, Taken};
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
    /// is redeemed again on each new connection.
    #[capnode(rederive)]
    async fn redeem(&self, text: &str) -> Result<Cap, Error>;

    /// Calls the method that a signed invocation names, with its arguments, once.
    async fn invoke(&self, invocation: &str) -> Result<Value, Error>;

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

impl Gatekeeper for Owner {
    async fn redeem(&self, text: &str) -> Result<Cap, Error> {
        let taken = if text.starts_with("capnode:") {
            self.take(text)
        } else if text.starts_with('{') && self.documents().is_ok() {
            self.redeem_document(text).await
        } else {
            self.authenticate(text)
        };
        taken.map_err(|refusal| self.refused(refusal))
    }

    async fn invoke(&self, invocation: &str) -> Result<Value, Error> {
        let invoked = self.invoked(invocation).await;
        let (cap, method, args) = invoked.map_err(|refusal| self.refused(refusal))?;
        cap.invoke(&method, args).await
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
        self.admissions().revoke_link(&Revocation { tags: &tags, by, end: ending(last.expires) })
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

    /// Returns the target of the permit behind the limits of all its links.
    async fn permitted(&self, permit: &Permit) -> Result<Cap, Refusal> {
        let id = permit.root.rsplit('/').next().unwrap_or_default();
        let kept = self.kept(id)?;
        if permit.root != format!("{}/{id}", self.documents()?.verifier.origin()) {
            return Err(Rule::Object.broken());
        }
        let mut cap = self.restore(&kept)?;
        for name in &permit.path {
            cap = cap.get::<Cap>(name).await.map_err(Refusal::owner)?;
            if matches!(cap.ref_kind(), RefKind::Function) {
                return Err(Rule::Object.broken());
            }
        }
        let by = Admission {
            object: id.to_owned(),
            branch: branch(&permit.links),
            key: None,
            caveats: caveats(permit),
            tags: permit.links.iter().map(|link| tag(&link.name, None)).collect(),
            links: permit.links.clone(),
        };
        self.admissions().admit(&cap, by, || self.kept(id).map(drop))
    }

    pub(super) async fn redeem_document(&self, text: &str) -> Result<Cap, Refusal> {
        let permit = self.take_invocation(text)?;
        if permit.action != REDEEM {
            return Err(other_action(&permit));
        }
        self.permitted(&permit).await
    }

    /// Returns the reference whose method is to be called, and the arguments.
    pub(super) async fn invoked(&self, text: &str) -> Result<(Cap, String, Vec<Value>), Refusal> {
        let permit = self.take_invocation(text)?;
        if VERBS.contains(&permit.action.as_str()) {
            return Err(other_action(&permit));
        }
        let args = permit.args.as_deref().unwrap_or("[]");
        let args = serde_json::from_str(args).map_err(|_| Rule::Shape.broken())?;
        Ok((self.permitted(&permit).await?, permit.action, args))
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

fn other_action(permit: &Permit) -> Refusal {
    Refusal::of_document(signed::Rule::Action.broken(format!("`{}` is for another method", permit.action)))
}
