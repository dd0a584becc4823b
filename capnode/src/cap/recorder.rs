//! Programs of maps, recorded by running a function once on placeholders.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::context::{Context, within};
use super::local::{Local, RequestTarget};
use super::payload::{LivePayload, PayloadRef, unfold};
use super::promise::Promise;
use super::remap::{NestedMap, base, map_args, runs_maps};
use super::request::{Args, CallOptions, Member, Request};
use super::response::{FirstPoll, Response};
use super::{Cap, RefKind};
use crate::dialect::capnweb::{read_program, write_path};
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::Unfolding;
use crate::message::{Id, Key, Path, Program};
use crate::session::ObjectId;
use crate::sync::{Mutex, OnDrop, lock, thread_local};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Recorder>>> = const { RefCell::new(None) };
}

/// The request of a call that has not been made, or a map of what one gives.
pub(crate) enum Source {
    Request(Cap, Request),
    Map(Box<MapRequest>),
}

/// A map that has not been made.
pub(crate) struct MapRequest {
    source: Source,
    captures: Vec<Cap>,
    program: Arc<Program>,
    pub(crate) options: CallOptions,
}

/// The bounds of a map of this program's own, which is run here.
const OWN: Unfolding = Unfolding {
    bytes: usize::MAX,
    depth: crate::limits::MAX_PROMISE_DEPTH,
    frame: usize::MAX,
    map_steps: usize::MAX,
    calls: 1_024,
};

impl Source {
    /// Returns the context that a map of the result has: that of the call, without its progress.
    fn context(&self) -> Option<Context> {
        let mut context = match self {
            Source::Request(_, request) => request.options.context.clone(),
            Source::Map(map) => map.options.context.clone(),
        };
        Context::set_progress(&mut context, None);
        context
    }

    /// Makes the request, and returns a reference to its result.
    fn begin(self) -> Cap {
        match self {
            // A map of a property reads it where it is.
            Source::Request(cap, request) if request.args.is_read() => {
                cap.at_path(request.member.into_path())
            }
            Source::Request(cap, mut request) => {
                request.options.at_once = true;
                cap.pipeline(Request { typed: false, ..request })
            }
            Source::Map(map) => map.pipeline(),
        }
    }
}

impl MapRequest {
    /// Makes the map. Its source is held until the outcome is there.
    pub(crate) fn request(self) -> Response {
        let Self { source, captures, program, options } = self;
        let subject = source.begin();
        match far(&subject) {
            Some((cap, path)) => {
                let response = cap.request(map_request(path, captures, program, options));
                Response::handler(async move {
                    let outcome = response.outcome().await;
                    drop(subject);
                    outcome
                })
            }
            None => run_here(subject, captures, program, options.context),
        }
    }

    /// Makes the map, and returns a reference to its result.
    pub(crate) fn pipeline(self) -> Cap {
        let Self { source, captures, program, options } = self;
        let subject = source.begin();
        match far(&subject) {
            Some((cap, path)) => cap.pipeline(map_request(path, captures, program, options)),
            None => Promise::of_response(run_here(subject, captures, program, options.context)),
        }
    }
}

/// Runs a map in this program. Its calls inherit what it has inherited, and not all that its caller was given.
fn run_here(cap: Cap, captures: Vec<Cap>, program: Arc<Program>, mut context: Option<Context>) -> Response {
    let map = NestedMap { cap, path: Path::Empty, captures, program, edge: None };
    within(&mut context, || map.run(OWN))
}

/// Returns what a peer is to be asked for that runs a map by itself.
fn far(subject: &Cap) -> Option<(Cap, Path)> {
    Some(base(subject)).filter(|(cap, _)| runs_maps(cap))
}

fn map_request(path: Path, captures: Vec<Cap>, program: Arc<Program>, options: CallOptions) -> Request {
    Request { args: map_args(captures, program), options, ..Request::read(Member::Path(path)) }
}

/// The instructions that have been recorded.
pub(crate) struct Recorder {
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    text: String,
    count: Id,
    captures: Vec<Cap>,
    /// The captures by what they stand for.
    known: HashMap<ObjectId, Id>,
    failed: Option<Error>,
}

/// A placeholder for a value that a program has.
struct Variable {
    recorder: Arc<Recorder>,
    id: Id,
}

struct VariableTarget;

impl RequestTarget for VariableTarget {
    fn name(&self) -> &'static str {
        "placeholder"
    }

    fn request(&self, _: Local, _: &mut Request, _: Option<FirstPoll<'_>>) -> Response {
        let message = "inside a map there are no values yet: return the call, pipeline on it or send it, and do not await it";
        Response::error(Error::new(ErrorKind::Unsupported, message).with_fate(Fate::NotSent))
    }
}

impl Recorder {
    /// Returns the recorder of the map that is being recorded on this thread.
    pub(crate) fn current() -> Option<Arc<Self>> {
        // A thread may call while it ends.
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Records a map of the source: `record` gets a placeholder for an element, and returns the result for it.
    pub(crate) fn record(
        source: Source,
        record: impl FnOnce(Cap) -> Result<LivePayload, Error>,
    ) -> Result<Box<MapRequest>, Error> {
        let recorded = Recorded { text: "[".to_owned(), ..Recorded::default() };
        let recorder = Arc::new(Self { recorded: Mutex::new(recorded) });
        let result = {
            let mut outer = CURRENT.replace(Some(recorder.clone()));
            let _back = OnDrop(|| drop(CURRENT.replace(outer.take())));
            record(recorder.variable(0))?
        };
        recorder.instruction(|recorder, out| recorder.write_value(result, out))?;
        let Recorded { mut text, captures, failed, .. } = std::mem::take(&mut *lock(&recorder.recorded));
        if let Some(error) = failed {
            return Err(error);
        }
        text.push(']');
        let program = read_program(&text, captures.len())?;
        let options = CallOptions { context: source.context(), ..CallOptions::NONE };
        Ok(Box::new(MapRequest { source, captures, program, options }))
    }

    fn variable(self: &Arc<Self>, id: Id) -> Cap {
        Cap::from_local(Local::new(Arc::new(Variable { recorder: self.clone(), id }), &VariableTarget))
    }

    /// Records a call, or a map, and returns the placeholder of its result. If that fails, the whole map does.
    pub(crate) fn call(self: &Arc<Self>, source: Source) -> Cap {
        let recorded = self.instruction(|recorder, out| recorder.write_source(source, out));
        recorded.map_or_else(
            |error| {
                lock(&self.recorded).failed.get_or_insert_with(|| error.clone());
                Cap::broken(error)
            },
            |id| self.variable(id),
        )
    }

    /// Adds an instruction, and returns the id of its result.
    fn instruction(
        self: &Arc<Self>,
        write: impl FnOnce(&Arc<Self>, &mut String) -> Result<(), Error>,
    ) -> Result<Id, Error> {
        // It may record others first.
        let mut text = String::new();
        write(self, &mut text)?;
        let mut recorded = lock(&self.recorded);
        if recorded.count > 0 {
            recorded.text.push(',');
        }
        recorded.text.push_str(&text);
        recorded.count += 1;
        Ok(recorded.count)
    }

    fn write_source(self: &Arc<Self>, source: Source, out: &mut String) -> Result<(), Error> {
        match source {
            Source::Request(cap, mut request) => {
                let member = &request.member;
                if matches!(request.args, Args::Typed(_)) {
                    request.args.write(usize::MAX).map_err(|error| member.explain(error))?;
                }
                let args = request.args.take_written();
                let path = request.member.into_path();
                if let Some(Key::Verb(verb)) = path.as_slice().last() {
                    let message = format!("a map has no instruction for `{}`", verb.name());
                    return Err(Error::new(ErrorKind::Unsupported, message).with_fate(Fate::NotSent));
                }
                let (subject, before) = self.place_of(&cap);
                out.push_str("[\"pipeline\",");
                out.push_str(&subject.to_string());
                out.push(',');
                write_path(before.join(path.as_slice()).as_slice(), out);
                if let Some(args) = args {
                    out.push(',');
                    self.write_value(args, out)?;
                }
            }
            Source::Map(map) => {
                let MapRequest { source, captures, program, .. } = *map;
                let (subject, path) = match source {
                    Source::Request(cap, request) if request.args.is_read() => {
                        let (subject, before) = self.place_of(&cap);
                        (subject, before.join(request.member.into_path().as_slice()))
                    }
                    source => self.place_of(&self.call(source)),
                };
                out.push_str("[\"remap\",");
                out.push_str(&subject.to_string());
                out.push(',');
                write_path(path.as_slice(), out);
                out.push_str(",[");
                for (at, capture) in captures.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    out.push_str(&format!("{comma}[\"import\",{}]", self.capture(capture)));
                }
                out.push_str("],");
                out.push_str(program.text.as_str());
            }
        }
        out.push(']');
        Ok(())
    }

    /// Returns the variable that a reference is, or leads into, and the path there.
    fn place_of(self: &Arc<Self>, cap: &Cap) -> (Id, Path) {
        let (cap, path) = base(cap);
        (self.capture(&cap), path)
    }

    /// Returns the id of a reference, which becomes a capture if it is no variable of this program.
    fn capture(self: &Arc<Self>, cap: &Cap) -> Id {
        if let Some(variable) = cap.own::<Variable>().filter(|it| Arc::ptr_eq(&it.recorder, self)) {
            return variable.id;
        }
        let mut recorded = lock(&self.recorded);
        let Recorded { captures, known, .. } = &mut *recorded;
        *known.entry(cap.object_id()).or_insert_with(|| {
            captures.push(cap.clone());
            -Id::try_from(captures.len()).unwrap_or(Id::MAX)
        })
    }

    /// Writes a value with the references in it as variables.
    fn write_value(self: &Arc<Self>, value: LivePayload, out: &mut String) -> Result<(), Error> {
        let value = unfold(value, usize::MAX).0?;
        let (buffer, range) = value.text.parts();
        let mut written = range.start;
        for slot in &value.refs {
            out.push_str(&buffer[written..slot.start]);
            written = slot.end;
            let PayloadRef::Cap(cap) = &slot.to else { continue };
            if matches!(cap.ref_kind(), RefKind::Readable | RefKind::Writable) {
                return Err(Error::new(ErrorKind::Unsupported, "a stream can't be used in a map"));
            }
            let (id, path) = self.place_of(cap);
            // A placeholder stands for its value, also one of an outer map; any other reference is passed as one.
            let nearest = cap.nearest();
            let base = nearest.as_property().map_or_else(|| nearest.clone(), |at| at.parts().0.nearest());
            let form = if base.own::<Variable>().is_some() { "pipeline" } else { "import" };
            out.push_str(&format!("[\"{form}\",{id}"));
            if !path.is_empty() {
                out.push(',');
                write_path(path.as_slice(), out);
            }
            out.push(']');
        }
        out.push_str(&buffer[written..range.end]);
        Ok(())
    }
}
