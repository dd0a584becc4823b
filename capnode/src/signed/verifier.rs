//! The owner's side: what a document allows, if it holds.

use std::time::{Duration, SystemTime};

use crate::sync::{Mutex, lock};

use super::caveat::Caveat;
use super::document::{Chain, Invoking, Proof};
use super::invocation;
use super::key::PublicKey;
use super::proof::{EddsaJcs2022, ProofType};
use super::refusal::{Refusal, Rule};
use super::replay::{Made, Replays, Taken};
use super::rules;
use super::target;
use super::time::{Millis, millis, system};
use super::tree::Tree;

/// The name of a link: its id, which is one of a kind only among those of the key that delegated it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkName {
    /// The key that delegated the link, as a `did:key`.
    pub delegator: String,
    /// The id that the delegator gave it.
    pub id: String,
}

/// A link that is part of what was invoked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// The link's name, by which it is revoked and its caveats are counted.
    pub name: LinkName,
    /// The key to which it was delegated, as a `did:key`.
    pub controller: String,
    /// The URL for which it is.
    pub target: String,
    /// The link's own caveats.
    pub caveats: Vec<Caveat>,
    /// The time at which it ends.
    pub expires: SystemTime,
}

/// The permission that an invocation gives which holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Permit {
    /// The URL of the object that the owner delegated, as it wrote it.
    pub root: String,
    /// Names of properties from that object to the target.
    pub path: Vec<String>,
    /// The action that is asked for.
    pub action: String,
    /// All actions that the last link allows.
    pub actions: Vec<String>,
    /// The arguments, as JSON.
    pub args: Option<String>,
    /// The key that invokes, as a `did:key`.
    pub invoker: String,
    /// The id that the invoker gave the invocation.
    pub id: String,
    /// The links, from the owner's own. Whatever is done by the permit is bound by the caveats of all, and ends with the
    /// first that ends or is revoked.
    pub links: Vec<Step>,
}

/// Verifies what is handed to an owner.
///
/// The work for a document that is refused is bounded: one reading of at most 64 KiB; comparing the at most 32 segments of a
/// target with the at most 256 names in the caveats of each link above; asking about each link whether it is revoked; and then for
/// each link and the invocation one hash of what it signs, 640 KiB in all, and one signature, ten at most. Signatures come
/// last, and the first that does not hold is the last that is looked at: one for whom no link was made, and all only for who
/// holds a link, or has seen one.
pub struct Verifier {
    owner: String,
    origin: String,
    longest: Millis,
    proof_types: Vec<Box<dyn ProofType>>,
    replays: Mutex<Replays>,
}

crate::opaque::opaque!(Verifier as verifier { owner: verifier.owner, origin: verifier.origin });

impl Verifier {
    /// Verifies for the owner of a key, whose objects have URLs below `origin`, such as `https://node.example`.
    ///
    /// `since` is the time from which on nobody else has taken invocations for the owner: the start of this process,
    /// or for a new key any time before. What was made up to ten seconds later is refused, since it may have been taken before.
    /// An owner at a gatekeeper keeps in its store what is taken, and goes on with the time at which it began to.
    ///
    /// # Errors
    ///
    /// With [`Rule::Target`], if it is no origin.
    pub fn new(owner: PublicKey, origin: &str, since: SystemTime) -> Result<Self, Refusal> {
        target::check_origin(origin)?;
        Ok(Self {
            owner: owner.to_string(),
            origin: origin.to_owned(),
            longest: 90 * 86_400_000,
            proof_types: vec![Box::new(EddsaJcs2022)],
            replays: Mutex::new(Replays::new(millis(since))),
        })
    }

    /// Takes links that live up to this long, instead of 90 days.
    #[must_use]
    pub fn longest(mut self, time: Duration) -> Self {
        self.longest = Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX);
        self
    }

    /// Takes proofs of another type as well.
    #[must_use]
    pub fn proof_type(mut self, proof_type: impl ProofType + 'static) -> Self {
        self.proof_types.push(Box::new(proof_type));
        self
    }

    /// Returns the origin below which the objects are.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Takes an invocation, once. `nonce` is one that this owner has given the invoker just now, if it has, and which the
    /// invocation has to carry; `is_revoked` is asked about each link.
    ///
    /// The greatest `now` that there was is remembered, since what is older than five minutes before it is forgotten and so is not
    /// taken. After one that was a day ahead nothing is taken for a day.
    ///
    /// # Errors
    ///
    /// With the first rule that it breaks.
    pub fn take(
        &self,
        invocation: &str,
        nonce: Option<&str>,
        now: SystemTime,
        is_revoked: impl Fn(&LinkName) -> bool,
    ) -> Result<Permit, Refusal> {
        let is_fresh = |carried: &str| nonce == Some(carried);
        self.take_fresh(invocation, nonce.is_some(), now, is_fresh, is_revoked, |_| true)
    }

    /// Takes an invocation, once. One that carries a nonce has been made just now if `is_fresh`; without, it is refused if
    /// it `needs_nonce`. It is refused as well unless `keep` has kept, for the next process, that it was taken.
    pub(crate) fn take_fresh(
        &self,
        invocation: &str,
        needs_nonce: bool,
        now: SystemTime,
        is_fresh: impl Fn(&str) -> bool,
        is_revoked: impl Fn(&LinkName) -> bool,
        keep: impl FnOnce(&Taken) -> bool,
    ) -> Result<Permit, Refusal> {
        let now = millis(now);
        let tree = Tree::parse(invocation)?;
        let invoking = Invoking::read(&tree)?;
        self.check_chain(&invoking.chain, now)?;
        invocation::check(&invoking)?;
        self.check_addressee(&invoking)?;
        let fresh = invoking.challenge.is_some_and(is_fresh);
        if needs_nonce && !fresh {
            return Err(Rule::Challenge.broken("it does not carry the nonce"));
        }
        let Proof { created, did, .. } = invoking.proof;
        let branch = invoking.chain.links.first().map_or("", |first| first.controller);
        let made = Made { branch, key: did, id: invoking.id, created, fresh };
        lock(&self.replays).check(&made, now)?;
        check_revoked(&invoking.chain, &is_revoked)?;
        self.verify_chain(&invoking.chain)?;
        self.verify(&invoking.proof)?;
        let taken = lock(&self.replays).insert(&made, now)?;
        if !keep(&taken) {
            lock(&self.replays).give_back(taken);
            return Err(Rule::Replay.broken("it cannot be kept that it was taken"));
        }
        permit(&invoking)
    }

    /// Goes on with the memory of another process, which began at a time and remembers so much. Returns the time at which it, or
    /// without one this, began.
    #[cfg(feature = "sturdy")]
    pub(crate) fn go_on(
        &self,
        since: Option<Millis>,
        taken: impl Iterator<Item = super::replay::Entry>,
    ) -> Millis {
        let mut replays = lock(&self.replays);
        taken.for_each(|entry| replays.remember(entry));
        replays.since = since.unwrap_or(replays.since);
        replays.since
    }

    /// Verifies a link that is handed in to be revoked, and returns the names of all links of its chain, its own as the last.
    ///
    /// # Errors
    ///
    /// With the first rule that it breaks.
    pub fn check_link(&self, link: &str, now: SystemTime) -> Result<Vec<Step>, Refusal> {
        let tree = Tree::parse(link)?;
        let chain = Chain::read(&tree)?;
        self.check_chain(&chain, millis(now))?;
        self.verify_chain(&chain)?;
        Ok(steps(&chain))
    }

    fn check_chain(&self, chain: &Chain<'_>, now: Millis) -> Result<(), Refusal> {
        let root = target::target_of_root(chain.root).unwrap_or_default();
        if target::below(&root, &self.origin).is_none_or(str::is_empty) {
            return Err(Rule::Target.broken(format!("`{}` is not at {}", chain.root, self.origin)));
        }
        rules::check_chain(chain, &self.owner, self.longest)?;
        rules::check_now(chain, now)
    }

    fn check_addressee(&self, invoking: &Invoking<'_>) -> Result<(), Refusal> {
        if invoking.domain != Some(&self.origin) {
            return Err(Rule::Domain.broken(format!("it is for {:?}, not {}", invoking.domain, self.origin)));
        }
        if let Some(tail) = invoking.chain.tail() {
            if invoking.proof.created < tail.proof.created.saturating_sub(rules::SKEW) {
                return Err(Rule::Time.broken("the invocation was made before its link"));
            }
        }
        Ok(())
    }

    fn verify_chain(&self, chain: &Chain<'_>) -> Result<(), Refusal> {
        chain.links.iter().try_for_each(|link| self.verify(&link.proof))
    }

    fn verify(&self, proof: &Proof<'_>) -> Result<(), Refusal> {
        let known = self.proof_types.iter().find(|known| known.cryptosuite() == proof.suite);
        let known = known.ok_or_else(|| Rule::Proof.broken(format!("unknown: `{}`", proof.suite)))?;
        let (options, document) = proof.signed();
        known.verify(proof.did, &options, &document, proof.value)
    }
}

fn check_revoked(chain: &Chain<'_>, is_revoked: &impl Fn(&LinkName) -> bool) -> Result<(), Refusal> {
    let revoked = steps(chain).into_iter().find(|step| is_revoked(&step.name));
    revoked.map_or(Ok(()), |step| Err(Rule::Revoked.broken(format!("`{}`", step.name.id))))
}

fn steps(chain: &Chain<'_>) -> Vec<Step> {
    let step = |link: &super::document::Fields<'_>| Step {
        name: LinkName { delegator: link.proof.did.to_owned(), id: link.id.to_owned() },
        controller: link.controller.to_owned(),
        target: link.target.to_owned(),
        caveats: link.caveats.clone(),
        expires: system(link.expires),
    };
    chain.links.iter().map(step).collect()
}

fn permit(invoking: &Invoking<'_>) -> Result<Permit, Refusal> {
    let root = target::target_of_root(invoking.chain.root).unwrap_or_default();
    let above = target::segments(&root)?.len();
    let path = target::segments(invoking.target)?.split_off(above);
    let actions = invoking.chain.tail().map_or(&[][..], |tail| &tail.actions);
    Ok(Permit {
        path,
        action: invoking.action.to_owned(),
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        args: invoking.args.map(Tree::canonical),
        invoker: invoking.proof.did.to_owned(),
        id: invoking.id.to_owned(),
        links: steps(&invoking.chain),
        root,
    })
}
