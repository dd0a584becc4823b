//! Invocations: what the holder of a link hands to its owner.

use std::time::SystemTime;

use serde::Serialize;

use crate::error::{Error, ErrorKind};

use super::document::{INVOCATION, Invoking};
use super::key::Signer;
use super::link::{Link, new_id, sign, text};
use super::refusal::{Refusal, Rule};
use super::rules;
use super::target;
use super::tree::Tree;

/// An invocation that is to be made. It is good for one use.
#[derive(Clone, Debug)]
pub struct Invocation {
    action: String,
    target: Option<String>,
    domain: String,
    challenge: Option<String>,
    args: Option<Tree>,
}

impl Invocation {
    /// Begins an invocation of an action, for the owner whose origin is `domain`, such as `https://node.example`.
    pub fn new(action: impl Into<String>, domain: impl Into<String>) -> Self {
        Self { action: action.into(), target: None, domain: domain.into(), challenge: None, args: None }
    }

    /// Invokes a URL below that of the link.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Carries the nonce of a challenge by the owner.
    #[must_use]
    pub fn challenge(mut self, nonce: impl Into<String>) -> Self {
        self.challenge = Some(nonce.into());
        self
    }

    /// Carries the arguments of a method, which become plain JSON: a list or a tuple of them, or `()` if there are none.
    ///
    /// # Errors
    ///
    /// If JSON cannot say them, or not in one way. [`ErrorKind::Encode`] if they are no list.
    pub fn args(mut self, args: &impl Serialize) -> Result<Self, Error> {
        let json = serde_json::to_string(args);
        let json = json.map_err(|error| Error::new(ErrorKind::Encode, error.to_string()))?;
        self.args = Some(match Tree::parse(&json)? {
            Tree::Null => Tree::List(Vec::new()),
            list @ Tree::List(_) => list,
            _ => {
                let message = "the arguments of an invocation are a list or a tuple, such as `(1,)`";
                return Err(Error::new(ErrorKind::Encode, message));
            }
        });
        Ok(self)
    }

    /// Returns the URL of the result of an invocation that was signed, which its signer delegates `await` on. It is known before
    /// the owner has the invocation.
    ///
    /// # Errors
    ///
    /// With the first rule of its shape that it breaks, or [`Rule::Target`] if its id cannot be part of a URL.
    pub fn result(invocation: &str) -> Result<String, Refusal> {
        let tree = Tree::parse(invocation)?;
        let invoking = Invoking::read(&tree)?;
        target::child(invoking.target, invoking.id)
    }

    /// Signs the invocation of a link, and returns its text. `now` is the time at which it is made.
    ///
    /// # Errors
    ///
    /// The signer's, or a [`Refusal`] as the source, if the invocation breaks a rule.
    pub async fn sign(self, link: &Link, signer: &impl Signer, now: SystemTime) -> Result<String, Error> {
        let mut members = vec![text("id", new_id())];
        members.extend(self.args.map(|args| ("capnode:args".to_owned(), args)));
        let target = self.target.as_deref().unwrap_or_else(|| link.target());
        let mut others = vec![
            ("capability".to_owned(), link.tree().clone()),
            text("invocationTarget", target),
            text("capabilityAction", self.action),
            text("domain", self.domain),
        ];
        others.extend(self.challenge.map(|nonce| text("challenge", nonce)));
        let tree = sign(members, INVOCATION, others, signer, now).await?;
        check(&Invoking::read(&tree)?)?;
        let text = tree.canonical();
        // With the arguments it may have become too long, or too deep.
        Tree::parse(&text)?;
        Ok(text)
    }
}

/// Checks an invocation against its link.
pub(super) fn check(invoking: &Invoking<'_>) -> Result<(), Refusal> {
    let Some(tail) = invoking.chain.tail() else { return Err(Rule::Chain.broken("empty")) };
    if invoking.proof.did != tail.controller {
        return Err(Rule::Controller.broken(format!("`{}` was not given to who invokes it", tail.id)));
    }
    if !tail.actions.contains(&invoking.action) {
        return Err(Rule::Action.broken(format!("`{}` does not allow `{}`", tail.id, invoking.action)));
    }
    rules::check_below(invoking.target, tail.target, &[invoking.action], &invoking.chain.links)
}
