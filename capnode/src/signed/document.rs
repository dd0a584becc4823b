//! The documents, as they are read: shapes and fields, nothing about keys.

use std::collections::BTreeSet;

use super::caveat::Caveat;
use super::key::PublicKey;
use super::refusal::{Refusal, Rule};
use super::target;
use super::time::{self, Millis};
use super::tree::Tree;

type Result<T> = std::result::Result<T, Refusal>;

/// The context of every document, and of its proof.
pub(super) const CONTEXT: [&str; 2] =
    ["https://w3id.org/zcap/v1", "https://w3id.org/security/data-integrity/v2"];

/// The most documents of a chain, with its root.
pub(super) const MAX_CHAIN: usize = 10;

/// The most actions of a link.
const MAX_ACTIONS: usize = 64;

/// The most addresses of a link.
const MAX_ENDPOINTS: usize = 8;

/// The most bytes of an id, a key, an address or the name of an action.
const MAX_TEXT: usize = 256;

pub(super) const DELEGATION: &str = "capabilityDelegation";
pub(super) const INVOCATION: &str = "capabilityInvocation";

const OF_LINK: [&str; 10] = [
    "@context",
    "id",
    "controller",
    "parentCapability",
    "invocationTarget",
    "expires",
    "allowedAction",
    "capnode:endpoints",
    "capnode:caveats",
    "proof",
];
const OF_INVOCATION: [&str; 4] = ["@context", "id", "capnode:args", "proof"];
const OF_PROOF: [&str; 7] =
    ["@context", "type", "created", "verificationMethod", "cryptosuite", "proofPurpose", "proofValue"];
const OF_DELEGATION: [&str; 1] = ["capabilityChain"];
const OF_INVOKING: [&str; 5] = ["capability", "invocationTarget", "capabilityAction", "domain", "challenge"];

fn check_members(tree: &Tree, known: &[&[&str]]) -> Result<()> {
    let Tree::Object(members) = tree else { return Err(Rule::Shape.broken("this is no object")) };
    let unknown = members.iter().find(|(key, _)| !known.iter().any(|names| names.contains(&key.as_str())));
    match unknown {
        Some((key, _)) if key.contains("aveat") => Err(Rule::Caveat.broken(format!("unknown: {key}"))),
        Some((key, _)) => Err(Rule::Shape.broken(format!("there is no member `{key}`"))),
        None => Ok(()),
    }
}

fn check_context(tree: &Tree) -> Result<()> {
    let context = tree.get("@context").and_then(Tree::as_list).unwrap_or_default();
    let same = context.iter().map(Tree::as_text).eq(CONTEXT.map(Some));
    if same { Ok(()) } else { Err(Rule::Context.broken("another @context")) }
}

fn text<'t>(tree: &'t Tree, key: &str) -> Result<&'t str> {
    let found = tree.get(key).and_then(Tree::as_text);
    found.ok_or_else(|| Rule::Shape.broken(format!("`{key}` is no text")))
}

fn optional<'t>(tree: &'t Tree, key: &str) -> Result<Option<&'t str>> {
    tree.get(key).map(|_| text(tree, key)).transpose()
}

/// Returns a list of short texts.
fn texts<'t>(tree: &'t Tree, key: &str, most: usize, rule: Rule) -> Result<Vec<&'t str>> {
    let list = tree.as_list().filter(|list| list.len() <= most);
    let short = |tree: &'t Tree| tree.as_text().filter(|text| !text.is_empty() && text.len() <= MAX_TEXT);
    let found = list.and_then(|list| list.iter().map(short).collect());
    found.ok_or_else(|| rule.broken(format!("`{key}` is no list of at most {most} short texts")))
}

/// Returns an id, which is an absolute URI.
fn id(tree: &Tree) -> Result<&str> {
    let id = text(tree, "id")?;
    let valid = id.len() <= MAX_TEXT && id.contains(':') && id.bytes().all(|byte| byte.is_ascii_graphic());
    if valid {
        Ok(id)
    } else {
        Err(Rule::Id.broken(format!("`{id}` is no absolute URI of {MAX_TEXT} bytes")))
    }
}

fn time(tree: &Tree, key: &str) -> Result<Millis> {
    let written = text(tree, key)?;
    time::read(written).ok_or_else(|| Rule::Time.broken(format!("`{key}` is `{written}`")))
}

/// A proof, and what it is about.
#[derive(Clone, Copy)]
pub(super) struct Proof<'t> {
    document: &'t Tree,
    pub(super) tree: &'t Tree,
    pub(super) created: Millis,
    /// The key that is said to have signed.
    pub(super) did: &'t str,
    pub(super) suite: &'t str,
    pub(super) value: &'t str,
}

impl<'t> Proof<'t> {
    fn read(document: &'t Tree, purpose: &str, others: &[&str]) -> Result<Self> {
        check_context(document)?;
        let tree = document.get("proof").ok_or_else(|| Rule::Shape.broken("there is no proof"))?;
        check_members(tree, &[&OF_PROOF, others])?;
        check_context(tree)?;
        if text(tree, "type")? != "DataIntegrityProof" {
            return Err(Rule::Proof.broken("this is no DataIntegrityProof"));
        }
        if text(tree, "proofPurpose")? != purpose {
            return Err(Rule::Proof.broken(format!("its purpose is not {purpose}")));
        }
        let method = text(tree, "verificationMethod")?;
        let did = method.split('#').next().unwrap_or_default();
        if did.len() > MAX_TEXT || PublicKey::method(did) != method {
            return Err(Rule::Key.broken("the method of verification is not that of its key"));
        }
        let (suite, value) = (text(tree, "cryptosuite")?, text(tree, "proofValue")?);
        Ok(Self { document, tree, created: time(tree, "created")?, did, suite, value })
    }

    /// Returns the options and the document, as they are signed.
    pub(super) fn signed(&self) -> (String, String) {
        (self.tree.canonical_without(&["proofValue"]), self.document.canonical_without(&["proof"]))
    }
}

/// A delegation.
pub(super) struct Fields<'t> {
    pub(super) id: &'t str,
    pub(super) controller: &'t str,
    pub(super) target: &'t str,
    pub(super) actions: Vec<&'t str>,
    pub(super) expires: Millis,
    pub(super) endpoints: Vec<&'t str>,
    pub(super) caveats: Vec<Caveat>,
    pub(super) proof: Proof<'t>,
    parent: &'t str,
    chain: &'t [Tree],
}

impl<'t> Fields<'t> {
    fn read(tree: &'t Tree) -> Result<Self> {
        check_members(tree, &[&OF_LINK])?;
        let proof = Proof::read(tree, DELEGATION, &OF_DELEGATION)?;
        let chain = proof.tree.get("capabilityChain").and_then(Tree::as_list);
        let chain = chain.ok_or_else(|| Rule::Chain.broken("there is no capabilityChain"))?;
        if !(1..MAX_CHAIN).contains(&chain.len()) {
            return Err(Rule::Chain.broken(format!("longer than {MAX_CHAIN}, or empty")));
        }
        let controller = text(tree, "controller")?;
        if controller.len() > MAX_TEXT || !controller.starts_with("did:key:z") {
            return Err(Rule::Key.broken("a controller is no did:key"));
        }
        let target = text(tree, "invocationTarget")?;
        target::segments(target)?;
        let endpoints = tree.get("capnode:endpoints");
        let endpoints = endpoints.map(|list| texts(list, "capnode:endpoints", MAX_ENDPOINTS, Rule::Shape));
        Ok(Self {
            id: id(tree)?,
            controller,
            target,
            actions: actions(tree)?,
            expires: time(tree, "expires")?,
            endpoints: endpoints.transpose()?.unwrap_or_default(),
            caveats: Caveat::read_all(tree.get("capnode:caveats"))?,
            proof,
            parent: text(tree, "parentCapability")?,
            chain,
        })
    }
}

fn actions(tree: &Tree) -> Result<Vec<&str>> {
    let found = match tree.get("allowedAction") {
        Some(Tree::Text(action)) => vec![action.as_str()],
        Some(list) => texts(list, "allowedAction", MAX_ACTIONS, Rule::Action)?,
        None => Vec::new(),
    };
    if found.is_empty() { Err(Rule::Action.broken("there is no allowedAction")) } else { Ok(found) }
}

/// The links of a chain from the root, which itself is an id.
pub(super) struct Chain<'t> {
    pub(super) root: &'t str,
    pub(super) links: Vec<Fields<'t>>,
}

impl<'t> Chain<'t> {
    /// Reads the chain of a link, which holds its parent, which holds its own.
    pub(super) fn read(tail: &'t Tree) -> Result<Self> {
        let broken = |what: &str| Rule::Chain.broken(what);
        let mut links = vec![Fields::read(tail)?];
        let root = loop {
            let Some(link) = links.last() else { return Err(broken("empty")) };
            let Some((last, before)) = link.chain.split_last() else { return Err(broken("empty")) };
            if before.is_empty() {
                break last.as_text().filter(|root| *root == link.parent);
            }
            // Every link is one shorter than the one that it is in, so this ends.
            let parent = Fields::read(last)?;
            if parent.id != link.parent
                || !before.iter().map(Tree::as_text).eq(parent.chain.iter().map(named))
            {
                return Err(broken("the chain of a link is not that of its parent, and the parent"));
            }
            links.push(parent);
        };
        links.reverse();
        let ids: BTreeSet<_> = links.iter().map(|link| link.id).collect();
        if ids.len() < links.len() {
            return Err(broken("two links have one id"));
        }
        Ok(Self { root: root.ok_or_else(|| broken("it does not begin with its root"))?, links })
    }

    pub(super) fn tail(&self) -> Option<&Fields<'t>> {
        self.links.last()
    }
}

/// Returns the id of a link, in whatever way it stands in a chain.
fn named(tree: &Tree) -> Option<&str> {
    tree.as_text().or_else(|| tree.get("id")?.as_text())
}

/// An invocation.
pub(super) struct Invoking<'t> {
    pub(super) id: &'t str,
    pub(super) target: &'t str,
    pub(super) action: &'t str,
    pub(super) domain: Option<&'t str>,
    pub(super) challenge: Option<&'t str>,
    pub(super) args: Option<&'t Tree>,
    pub(super) proof: Proof<'t>,
    pub(super) chain: Chain<'t>,
}

impl<'t> Invoking<'t> {
    pub(super) fn read(tree: &'t Tree) -> Result<Self> {
        check_members(tree, &[&OF_INVOCATION])?;
        let proof = Proof::read(tree, INVOCATION, &OF_INVOKING)?;
        let tail = proof.tree.get("capability");
        let chain = Chain::read(tail.ok_or_else(|| Rule::Shape.broken("it invokes nothing"))?)?;
        Ok(Self {
            id: id(tree)?,
            target: text(proof.tree, "invocationTarget")?,
            action: text(proof.tree, "capabilityAction")?,
            domain: optional(proof.tree, "domain")?,
            challenge: optional(proof.tree, "challenge")?,
            args: tree.get("capnode:args"),
            proof,
            chain,
        })
    }
}
