//! The rules between a link and its parent, for those who make links and for those who take them.

use super::caveat::Caveat;
use super::document::{Chain, Fields};
use super::refusal::{Refusal, Rule};
use super::target;
use super::time::{Millis, write};

/// Seconds by which the clocks of owners and holders may differ.
pub(super) const SKEW: Millis = 300_000;

/// The most caveats of a chain that count calls: the owner reads a counter for each, at each call.
const COUNTED: usize = 32;

/// Checks every link against its parent, the first against the root of its owner. Signatures are not looked at.
///
/// `longest` is how long a link may live, in milliseconds.
pub(super) fn check_chain(chain: &Chain<'_>, owner: &str, longest: Millis) -> Result<(), Refusal> {
    let root = target::target_of_root(chain.root);
    let root = root.ok_or_else(|| Rule::Target.broken(format!("`{}` is the root of nothing", chain.root)))?;
    target::segments(&root)?;
    let counted = chain.links.iter().flat_map(|link| &link.caveats).filter(|caveat| caveat.is_counted());
    if counted.count() > COUNTED {
        return Err(Rule::Caveat.broken(format!("more than {COUNTED} count calls")));
    }
    let (mut controller, mut wider, mut parent) = (owner, root.as_str(), None);
    for (at, link) in chain.links.iter().enumerate() {
        if link.proof.did != controller {
            return Err(Rule::Controller.broken(format!("`{}` was not given to who delegated it", link.id)));
        }
        check_below(link.target, wider, &link.actions, &chain.links[..at])?;
        check_times(link, longest)?;
        if let Some(parent) = parent {
            check_narrower(link, parent)?;
        }
        (controller, wider, parent) = (link.controller, link.target, Some(link));
    }
    Ok(())
}

/// The action that gives the result of a call that was kept: a target that names it is below that of the call.
pub(crate) const AWAIT: &str = "await";

/// Checks that a target is below another, and that the links above let each property be read that it names beyond that one: by
/// their caveats, as they do for a reference. An action is allowed on all that is below its target. By [`AWAIT`] nothing is read.
pub(super) fn check_below(
    target: &str,
    wider: &str,
    actions: &[&str],
    above: &[Fields<'_>],
) -> Result<(), Refusal> {
    let Some(rest) = target::below(target, wider) else {
        return Err(Rule::Target.broken(format!("`{target}` is not below `{wider}`")));
    };
    if actions == [AWAIT] {
        return target::segments(target).map(drop);
    }
    let mut names = target::segments(target)?;
    let names = names.split_off(names.len().saturating_sub(rest.matches('/').count()));
    for methods in above.iter().flat_map(|link| &link.caveats).filter_map(Caveat::names) {
        if let Some(name) = names.iter().find(|name| !methods.contains(name)) {
            return Err(Rule::Target.broken(format!("`{name}` is not among what may be called")));
        }
    }
    Ok(())
}

fn check_times(link: &Fields<'_>, longest: Millis) -> Result<(), Refusal> {
    if link.expires <= link.proof.created {
        return Err(Rule::Expiry.broken(format!("`{}` expires before it is made", link.id)));
    }
    if link.expires - link.proof.created > longest {
        return Err(Rule::Expiry.broken(format!("`{}` is valid for too long", link.id)));
    }
    Ok(())
}

fn check_narrower(link: &Fields<'_>, parent: &Fields<'_>) -> Result<(), Refusal> {
    if let Some(action) = link.actions.iter().find(|action| !parent.actions.contains(action)) {
        return Err(Rule::Action.broken(format!("the parent of `{}` has no `{action}`", link.id)));
    }
    if link.expires > parent.expires {
        return Err(Rule::Expiry.broken(format!("`{}` expires after its parent", link.id)));
    }
    if link.proof.created < parent.proof.created {
        return Err(Rule::Time.broken(format!("`{}` was made before its parent", link.id)));
    }
    Ok(())
}

/// Checks that a chain is valid now.
pub(super) fn check_now(chain: &Chain<'_>, now: Millis) -> Result<(), Refusal> {
    for link in &chain.links {
        if now >= link.expires {
            return Err(Rule::Expiry.broken(format!("`{}` expired at {}", link.id, write(link.expires))));
        }
        if link.proof.created > now.saturating_add(SKEW) {
            return Err(Rule::Time.broken(format!("`{}` was made in the future", link.id)));
        }
    }
    Ok(())
}
