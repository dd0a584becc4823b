//! Values that keep no object of this program alive, for values that a peer sets in an object.

use std::sync::{self, Arc};

use super::data::part_to_cap;
#[cfg(feature = "tokio")]
use super::durable::Durable;
use super::graph::tie_within;
use super::local::WeakLocal;
use super::membrane::{Border, Side, Wrapper};
use super::payload::{LivePayload, PayloadRef, REFERENCE, flatten};
use super::promise::Promise;
use super::property::PropertyRef;
use super::{Cap, Kind, RefKind, depth, too_many};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{Path, Payload};

/// A value whose references to objects of this program do not keep them. Its imports stay as they were: a connection
/// holds nothing once it has ended.
#[derive(Clone)]
pub(crate) struct WeakBody {
    value: Payload<WeakPart>,
    /// The most bytes of its shared values that may be read at once.
    unfolded_bytes: usize,
}

#[derive(Clone)]
enum WeakPart {
    Cap(WeakCap),
    /// One of the nodes of the payload that this stands in.
    Node(usize),
}

/// A reference that does not keep its target, if that is of this program.
#[derive(Clone)]
enum WeakCap {
    Held(Cap),
    Local(WeakLocal, RefKind),
    #[cfg(feature = "tokio")]
    Durable(sync::Weak<Durable>, RefKind),
    Queued(sync::Weak<Promise>, RefKind),
    /// A stand-in keeps its target no longer than the target itself would be kept.
    Crossing(Arc<Border>, Side, Arc<WeakCap>),
    /// The reference itself as long as another share in it lives, so that it stays equal to itself; or else a new one.
    Property {
        at: sync::Weak<PropertyRef>,
        of: Arc<WeakCap>,
        path: Path,
        getter: bool,
        ref_kind: RefKind,
    },
}

impl WeakBody {
    /// # Errors
    ///
    /// If the value nests too deep.
    pub(crate) fn new(body: LivePayload) -> Result<Self, Error> {
        let shared = body.refs.iter().find_map(|slot| match &slot.to {
            PayloadRef::Shared(node) => Some(node.graph.unfolded_bytes),
            _ => None,
        });
        let value = flatten(body, usize::MAX)?.map(|part| match part {
            PayloadRef::Inner(node) => WeakPart::Node(node),
            part => WeakPart::Cap(WeakCap::new(&part_to_cap(&part))),
        });
        let unfolded_bytes = shared.unwrap_or_else(|| Limits::default().unfolded_bytes);
        Ok(Self { value, unfolded_bytes })
    }

    /// Returns the value. A reference to a target that is gone is a broken one.
    pub(crate) fn get(&self) -> LivePayload {
        let body = self.value.clone().map(|part| match part {
            WeakPart::Cap(cap) => PayloadRef::Cap(cap.get()),
            WeakPart::Node(node) => PayloadRef::Inner(node),
        });
        tie_within(body, self.unfolded_bytes)
    }

    /// The bytes that it keeps from being freed, references apart.
    pub(crate) fn len(&self) -> usize {
        let of = |part: &WeakPart| match part {
            WeakPart::Cap(cap) => REFERENCE + cap.len(),
            WeakPart::Node(_) => REFERENCE,
        };
        self.value.text.buffer().len() + self.value.refs.iter().map(|slot| of(&slot.to)).sum::<usize>()
    }
}

impl WeakCap {
    fn new(cap: &Cap) -> Self {
        let cap = cap.nearest();
        let ref_kind = cap.1;
        match &cap.0 {
            Kind::Local(local) => match cap.own::<Wrapper>().map(|wrapper| wrapper.parts()) {
                Some((border, side, Some(target))) => match depth::with_hop_limit(|| Self::new(&target)) {
                    Some(target) => Self::Crossing(border, side, Arc::new(target)),
                    None => Self::Held(Cap::broken(too_many())),
                },
                _ => Self::Local(local.downgrade(), ref_kind),
            },
            #[cfg(feature = "tokio")]
            Kind::Durable(slot) => Self::Durable(Arc::downgrade(slot), ref_kind),
            Kind::Promise(promise) => Self::Queued(Arc::downgrade(promise), ref_kind),
            Kind::Property(at) => match depth::with_hop_limit(|| Self::new(&at.cap)) {
                Some(Self::Held(_)) => Self::Held(cap),
                Some(of) => Self::Property {
                    at: Arc::downgrade(at),
                    of: Arc::new(of),
                    path: at.path.clone(),
                    getter: at.getter,
                    ref_kind,
                },
                None => Self::Held(Cap::broken(too_many())),
            },
            Kind::Remote(_) | Kind::Timed(_) | Kind::Broken(_) => Self::Held(cap),
        }
    }

    fn get(&self) -> Cap {
        let found = match self {
            Self::Held(cap) => return cap.clone(),
            Self::Crossing(border, side, target) => return border.cross(&target.get(), *side),
            Self::Local(local, ref_kind) => local.upgrade().map(|local| Cap(Kind::Local(local), *ref_kind)),
            #[cfg(feature = "tokio")]
            Self::Durable(slot, ref_kind) => slot.upgrade().map(|slot| Cap(Kind::Durable(slot), *ref_kind)),
            Self::Queued(promise, ref_kind) => {
                promise.upgrade().map(|promise| Cap(Kind::Promise(promise), *ref_kind))
            }
            Self::Property { at, of, path, getter, ref_kind } => Some(match at.upgrade() {
                Some(at) => Cap(Kind::Property(at), *ref_kind),
                None if *getter => PropertyRef::getter(of.get(), path.clone()),
                None => of.get().at_path(path.clone()).with_kind(*ref_kind),
            }),
        };
        found.unwrap_or_else(|| Cap::broken(Error::rejected("the object referred to was dropped")))
    }

    fn len(&self) -> usize {
        match self {
            Self::Held(cap) => cap.as_property().map_or(0, |at| at.parts().1.len()),
            Self::Property { of, path, .. } => path.len() + of.len(),
            Self::Crossing(_, _, target) => target.len(),
            Self::Local(..) | Self::Queued(..) => 0,
            #[cfg(feature = "tokio")]
            Self::Durable(..) => 0,
        }
    }
}
