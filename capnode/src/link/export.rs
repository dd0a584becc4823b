//! References in messages to the peer, and its own.

use std::sync::Arc;

use super::Link;
use super::batch::Batch;
use super::effects::Effects;
use super::question::Question;
use super::state::State;
use crate::cap::data::part_to_cap;
use crate::cap::import::Import;
use crate::cap::payload::{LivePayload, PayloadRef};
use crate::cap::promise::Promise;
use crate::cap::stream::ReadEnd;
use crate::cap::{Cap, RefKind};
use crate::message::{CapDescriptor, Expression, Id, Path, Payload, ReceiverRef, ReturnMode, Slot};
use crate::thin_vec::ThinVec;

impl Link {
    /// Replaces the references in a value by descriptors, and lends them. The value `answers` a call, or is the
    /// arguments of one.
    #[inline]
    pub(super) fn descriptors(
        self: &Arc<Self>,
        state: &mut State,
        value: LivePayload,
        answers: bool,
        effects: &mut Effects,
    ) -> Payload<CapDescriptor> {
        if value.refs.is_empty() {
            return Payload { text: value.text, refs: ThinVec::NONE, nodes: value.nodes };
        }
        // npm's `capnweb` fails when it awaits a call whose whole result is a reference of its own, so it gets a
        // reference to this side that passes everything on.
        let lends = answers && value.root().is_some() && !state.session.is_extended();
        let described = |slot: &Slot<PayloadRef>| slot.with(self.descriptor(state, &slot.to, lends, effects));
        let refs: ThinVec<_> = value.refs.iter().map(described).collect();
        effects.discard(value.refs);
        Payload { text: value.text, refs, nodes: value.nodes }
    }

    /// Returns the descriptor for a reference in a message to this peer. An import of this link is sent home, unless it
    /// is to be lent; anything else is lent.
    fn descriptor(
        self: &Arc<Self>,
        state: &mut State,
        part: &PayloadRef,
        lends: bool,
        effects: &mut Effects,
    ) -> CapDescriptor {
        let cap = match part {
            PayloadRef::Inner(node) => return CapDescriptor::Node(*node),
            part => match part.as_bytes() {
                Some(bytes) => return CapDescriptor::Bytes(bytes.clone()),
                None => part_to_cap(part),
            },
        };
        if state.session.peer().pipes {
            if let Some(source) = ReadEnd::taken(&cap) {
                return self.pipe(state, source, effects);
            }
        }
        let cap = if state.session.peer().pipes { cap } else { ReadEnd::expose(cap) };
        if lends || !state.session.peer().returns_imports {
            return Self::export_cap(state, cap);
        }
        // An import without an id yet is lent like any other reference, and passes its calls on.
        let ours = |cap: &Cap, path: &Path| {
            let present = cap.present();
            let import = present.as_ref().unwrap_or(cap).import();
            let import = import.filter(|import| import.is_sent() && self.has_lent(import))?;
            if let Some(batch) = &self.batch {
                batch.use_result(import.id());
            }
            Some(ReceiverRef { id: import.id(), path: path.clone(), args: None, awaited: false })
        };
        let home = match cap.as_property() {
            Some(at) => {
                let (base, path) = at.parts();
                ours(&base.nearest(), path)
            }
            None => ours(&cap, &Path::Empty),
        };
        home.map_or_else(|| Self::export_cap(state, cap), CapDescriptor::ReceiverHosted)
    }

    /// Returns `true` for something that the peer has lent.
    fn has_lent(self: &Arc<Self>, import: &Import) -> bool {
        let is_index = |batch: &Batch| import.id() == 0 && batch.is_index_of(import.connection_addr());
        import.is_of(self) || self.batch.as_deref().is_some_and(is_index)
    }

    /// Returns the descriptor for a capture of a map: something that the peer has lent, or that it is lent.
    pub(super) fn capture(self: &Arc<Self>, state: &mut State, part: &PayloadRef) -> CapDescriptor {
        let cap = part_to_cap(part);
        let present = cap.present();
        let import = present.as_ref().unwrap_or(&cap).import();
        let home = import.filter(|import| import.is_sent() && self.has_lent(import));
        let Some(id) = home.map(|import| import.id()) else { return Self::export_cap(state, cap) };
        if let Some(batch) = &self.batch {
            batch.use_result(id);
        }
        CapDescriptor::ReceiverHosted(ReceiverRef { id, path: Path::Empty, args: None, awaited: false })
    }

    fn export_cap(state: &mut State, cap: Cap) -> CapDescriptor {
        let State { session, encoding, entries, .. } = state;
        let id = session.export(cap.object_id());
        let described = match cap.ref_kind() {
            RefKind::Function => CapDescriptor::SenderFunction(id),
            RefKind::Writable if session.peer().pipes => CapDescriptor::SenderWritable(id),
            _ => CapDescriptor::SenderHosted(id),
        };
        entries.insert_object(id, cap);
        encoding.name_export(id, session, entries);
        described
    }

    /// Returns the existing handle of an import, or a new one.
    pub(super) fn import(self: &Arc<Self>, state: &mut State, id: Id, function: bool) -> Arc<Import> {
        if let Some(import) = state.entries.import(id) {
            return import;
        }
        let import = Import::new(self.clone(), id, function);
        state.session.hold(id);
        state.entries.insert_import(id, &import);
        import
    }

    /// Returns the peer's index.
    pub(super) fn index_of_peer(self: &Arc<Self>, state: &mut State, effects: &mut Effects) -> Cap {
        match self.capabilities() {
            Some(peer) if !peer.asks_index => Cap::from_import(self.import(state, 0, false)),
            Some(_) => {
                let promise = Promise::new();
                let index = Expression::Call { target: 0, path: Path::Empty, args: None };
                let call = state.session.call(index, ReturnMode::Streamed, false);
                match state.send(call, effects) {
                    Ok(id) => state.entries.expect(id, Question::Index(promise.clone())),
                    Err(error) => return Cap::broken(error),
                }
                Cap::from_promise(promise)
            }
            None => {
                let promise = Promise::new();
                state.entries.add_pending_index(promise.clone());
                Cap::from_promise(promise)
            }
        }
    }
}
