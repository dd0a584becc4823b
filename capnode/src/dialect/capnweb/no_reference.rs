//! Values without references.

use serde::Serialize;

use crate::dialect::{ExtractRef, NodeRef, ResolveRef, ResolvedRef, ValueSlice};
use crate::kinds::Bytes;

/// The references of values that may hold none.
#[derive(Clone, Debug)]
pub(super) enum NoReference {}

impl ExtractRef for NoReference {
    fn extract<T: Serialize + ?Sized>(_: &T) -> Option<Self> {
        None
    }

    fn of_bytes(_: Bytes) -> Option<Self> {
        None
    }
}

impl ResolveRef for NoReference {
    type Graph = NoReference;

    fn resolve<'a>(&'a self, _: Option<&'a NoReference>) -> ResolvedRef<'a, Self> {
        match *self {}
    }

    fn node(graph: &NoReference, _: usize) -> Option<ValueSlice<'_, Self>> {
        match *graph {}
    }

    fn unfolded_bytes(graph: &Self::Graph) -> usize {
        match *graph {}
    }

    fn address(graph: &NoReference) -> *const () {
        match *graph {}
    }

    fn token(node: NodeRef<'_, Self>) -> Option<u64> {
        match *node.graph {}
    }

    fn record(_: ValueSlice<'_, Self>, _: Option<NodeRef<'_, Self>>) -> Option<u64> {
        None
    }
}
