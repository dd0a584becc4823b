//! Values without references.

use serde::Serialize;

use crate::dialect::{Extract, Found, Lookup, Node, Place};

/// The references of values that may hold none.
#[derive(Clone, Debug)]
pub(super) enum NoReference {}

impl Extract for NoReference {
    fn extract<T: Serialize + ?Sized>(_: &T) -> Option<Self> {
        None
    }
}

impl Lookup for NoReference {
    type Graph = NoReference;

    fn look_up<'a>(&'a self, _: Option<&'a NoReference>) -> Found<'a, Self> {
        match *self {}
    }

    fn node(graph: &NoReference, _: usize) -> Option<Place<'_, Self>> {
        match *graph {}
    }

    fn unfolded_bytes(graph: &Self::Graph) -> usize {
        match *graph {}
    }

    fn address(graph: &NoReference) -> *const () {
        match *graph {}
    }

    fn token(node: Node<'_, Self>) -> Option<u64> {
        match *node.graph {}
    }

    fn record(_: Place<'_, Self>, _: Option<Node<'_, Self>>) -> Option<u64> {
        None
    }
}
