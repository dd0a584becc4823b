//! Links: delegations from key to key, made and kept.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::error::Error;
use crate::runtime::random;

use super::caveat::Caveat;
use super::document::{CONTEXT, Chain, DELEGATION};
use super::key::{PublicKey, Signer};
use super::proof::{EDDSA, hashed, written};
use super::refusal::{Refusal, Rule};
use super::rules;
use super::target;
use super::time::{Millis, millis, system, write};
use super::tree::Tree;

/// A delegation with all above it, up to the owner: a text that its holder keeps, narrows for others and invokes.
///
/// Whoever reads it learns what it allows, but only the holder of its key can use it. Nothing is verified when it is read
/// but its shape: signatures are a matter of its owner. In serde it is a text.
#[derive(Clone, PartialEq)]
pub struct Link {
    tree: Tree,
    facts: Facts,
}

/// The fields of a link that can be asked for.
#[derive(Clone, PartialEq)]
struct Facts {
    owner: String,
    id: String,
    controller: String,
    target: String,
    actions: Vec<String>,
    expires: Millis,
    endpoints: Vec<String>,
}

impl Link {
    fn of(tree: Tree) -> Result<Self, Refusal> {
        let chain = Chain::read(&tree)?;
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (Some(first), Some(tail)) = (chain.links.first(), chain.tail()) else {
            return Err(Rule::Chain.broken("empty"));
        };
        let facts = Facts {
            owner: first.proof.did.to_owned(),
            id: tail.id.to_owned(),
            controller: tail.controller.to_owned(),
            target: tail.target.to_owned(),
            actions: strings(&tail.actions),
            expires: tail.expires,
            endpoints: strings(&first.endpoints),
        };
        Ok(Self { tree, facts })
    }

    /// Returns the id, which its delegator gave it.
    pub fn id(&self) -> &str {
        &self.facts.id
    }

    /// Returns the key that is said to have signed the first link, as a `did:key`. The owner's takes no other.
    pub fn owner(&self) -> &str {
        &self.facts.owner
    }

    /// Returns the origin of the owner: scheme, host and port of the target.
    pub fn origin(&self) -> &str {
        let target = self.target();
        let host = target.find("://").map_or(0, |at| at + 3);
        target[host..].find('/').map_or(target, |at| &target[..host + at])
    }

    /// Returns the key that may use it, as a `did:key`.
    pub fn controller(&self) -> &str {
        &self.facts.controller
    }

    /// Returns the URL of what it is for.
    pub fn target(&self) -> &str {
        &self.facts.target
    }

    /// Returns what may be done.
    pub fn actions(&self) -> &[String] {
        &self.facts.actions
    }

    /// Returns the time at which it ends.
    pub fn expires(&self) -> SystemTime {
        system(self.facts.expires)
    }

    /// Returns the addresses at which its owner can be reached: those of the first link, which alone is the owner's own.
    pub fn endpoints(&self) -> &[String] {
        &self.facts.endpoints
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }
}

impl FromStr for Link {
    type Err = Refusal;

    /// Reads a link of at most 64 KiB, with or without white space of ASCII around it. Its shape is checked, and no signature.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let text = text.trim_ascii();
        if !text.starts_with('{') {
            return Err(Rule::Json.broken("it is no signed link, which begins with `{`"));
        }
        Self::of(Tree::parse(text)?)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tree.canonical())
    }
}

crate::opaque::opaque!(Link as link {
    id: link.facts.id,
    controller: link.facts.controller,
    target: link.facts.target,
    actions: link.facts.actions,
});

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The parent of a link that is to be made, or the root.
struct Above<'a> {
    id: &'a str,
    target: &'a str,
    actions: &'a [String],
    chain: Vec<Tree>,
    /// The key of the first link's maker.
    owner: &'a str,
}

/// A link that is to be made.
#[derive(Clone, Debug)]
pub struct Delegation {
    to: PublicKey,
    expires: SystemTime,
    target: Option<String>,
    actions: Vec<String>,
    endpoints: Vec<String>,
    caveats: Vec<Caveat>,
}

impl Delegation {
    /// Begins a link to the holder of a key, which ends at a time.
    pub fn new(to: PublicKey, expires: SystemTime) -> Self {
        let (target, actions, endpoints, caveats) = (None, Vec::new(), Vec::new(), Vec::new());
        Self { to, expires, target, actions, endpoints, caveats }
    }

    /// Allows these actions: methods by their names on the wire, `redeem`, which gives a reference to the target, and
    /// `await`. Without this a link has the actions of its parent, and a first link cannot be made.
    #[must_use]
    pub fn actions<A: Into<String>>(mut self, actions: impl IntoIterator<Item = A>) -> Self {
        self.actions = actions.into_iter().map(Into::into).collect();
        self
    }

    /// Narrows the target to a URL below that of the parent.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Adds an address at which the owner can be reached. Only those of a first link count.
    #[must_use]
    pub fn endpoint(mut self, address: impl Into<String>) -> Self {
        self.endpoints.push(address.into());
        self
    }

    /// Adds a caveat.
    #[must_use]
    pub fn caveat(mut self, caveat: Caveat) -> Self {
        self.caveats.push(caveat);
        self
    }

    /// Makes the first link, to an object of the signer's own at the URL `root`. `now` is the time at which it is made.
    ///
    /// # Errors
    ///
    /// The signer's, or a [`Refusal`] as the source, if the link breaks a rule.
    pub async fn issue(self, root: &str, signer: &impl Signer, now: SystemTime) -> Result<Link, Error> {
        let id = target::root_id(root);
        let chain = vec![Tree::Text(id.clone())];
        let owner = signer.public_key().to_string();
        self.make(Above { id: &id, target: root, actions: &[], chain, owner: &owner }, signer, now).await
    }

    /// Delegates a link of the signer's to another, narrower. No connection is needed. `now` is the time at which it is made.
    ///
    /// # Errors
    ///
    /// Those of [`issue`](Self::issue).
    pub async fn delegate(self, parent: &Link, signer: &impl Signer, now: SystemTime) -> Result<Link, Error> {
        let of_parent = Chain::read(&parent.tree)?;
        let above = of_parent.links.split_last().map_or(&[][..], |(_, above)| above);
        let ids = std::iter::once(of_parent.root).chain(above.iter().map(|link| link.id));
        let mut chain: Vec<_> = ids.map(|id| Tree::Text(id.to_owned())).collect();
        chain.push(parent.tree.clone());
        let owner = of_parent.links.first().map_or("", |first| first.proof.did);
        let Facts { id, target, actions, .. } = &parent.facts;
        self.make(Above { id, target, actions, chain, owner }, signer, now).await
    }

    async fn make(self, above: Above<'_>, signer: &impl Signer, now: SystemTime) -> Result<Link, Error> {
        let actions = if self.actions.is_empty() { above.actions } else { &self.actions };
        let target = self.target.as_deref().unwrap_or(above.target);
        let mut members = vec![
            text("id", new_id()),
            text("controller", self.to.to_string()),
            text("parentCapability", above.id),
            text("invocationTarget", target),
            text("expires", write(millis(self.expires))),
            ("allowedAction".to_owned(), Tree::texts(actions)),
        ];
        if !self.endpoints.is_empty() {
            members.push(("capnode:endpoints".to_owned(), Tree::texts(self.endpoints)));
        }
        if !self.caveats.is_empty() {
            let caveats = self.caveats.iter().map(Caveat::tree).collect::<Result<_, _>>()?;
            members.push(("capnode:caveats".to_owned(), Tree::List(caveats)));
        }
        let others = vec![("capabilityChain".to_owned(), Tree::List(above.chain))];
        let link = Link::of(sign(members, DELEGATION, others, signer, now).await?)?;
        // What is refused is not issued either. How long a link may live is the owner's to say.
        rules::check_chain(&Chain::read(&link.tree)?, above.owner, Millis::MAX)?;
        // With the chain it may have become too long.
        Tree::parse(&link.to_string())?;
        Ok(link)
    }
}

pub(super) fn text(key: &str, value: impl Into<String>) -> (String, Tree) {
    (key.to_owned(), Tree::Text(value.into()))
}

/// Returns an id that nothing else has.
pub(super) fn new_id() -> String {
    let mut bytes: [u8; 16] = random::bytes();
    (bytes[6], bytes[8]) = (bytes[6] & 0x0f | 0x40, bytes[8] & 0x3f | 0x80);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Returns the document with a proof.
pub(super) async fn sign(
    mut document: Vec<(String, Tree)>,
    purpose: &str,
    others: Vec<(String, Tree)>,
    signer: &impl Signer,
    now: SystemTime,
) -> Result<Tree, Error> {
    let context = || ("@context".to_owned(), Tree::texts(CONTEXT));
    document.push(context());
    let mut options = others;
    options.extend([
        context(),
        text("type", "DataIntegrityProof"),
        text("created", write(millis(now))),
        text("verificationMethod", PublicKey::method(&signer.public_key().to_string())),
        text("cryptosuite", EDDSA),
        text("proofPurpose", purpose),
    ]);
    let hashed = {
        let signed = Tree::object(options.clone())?.canonical();
        hashed(&signed, &Tree::object(document.clone())?.canonical())
    };
    options.push(text("proofValue", written(&signer.sign(&hashed).await?)));
    document.push(("proof".to_owned(), Tree::object(options)?));
    Ok(Tree::object(document)?)
}
