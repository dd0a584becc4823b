//! A small exporter of spans, in place of OpenTelemetry's: ids of the W3C's trace context, and a line in a file for each call
//! that has ended.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use capnode::policy::{self, Relation, Trace};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// A span of a call, as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSpan {
    /// The id that all spans of one trace have.
    pub trace: u128,
    /// The id of the span.
    pub span: u64,
    /// The id of the span around it; 0 for none.
    pub parent: u64,
    /// The id of a span of a stranger's that it refers to; 0 for none.
    pub link: u64,
    /// The name of the process.
    pub process: String,
    /// `client` or `server`.
    pub kind: String,
    /// Interface and method.
    pub name: String,
    /// The time from its beginning to its end.
    pub micros: u128,
}

/// Writes the spans of calls to the file at `path`, behind what is there.
pub fn export(process: &str, path: &Path) -> io::Result<()> {
    let file = Mutex::new(File::options().create(true).append(true).open(path)?);
    let subscriber = Registry::default().with(Export { process: process.to_owned(), file });
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)
}

/// Reads the file of [`export`].
pub fn read(path: &Path) -> io::Result<Vec<CallSpan>> {
    let parse = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let mut next = || cells.next();
        Some(CallSpan {
            trace: u128::from_str_radix(&next()?, 16).ok()?,
            span: u64::from_str_radix(&next()?, 16).ok()?,
            parent: u64::from_str_radix(&next()?, 16).ok()?,
            link: u64::from_str_radix(&next()?, 16).ok()?,
            process: next()?,
            kind: next()?,
            name: next()?,
            micros: next()?.parse().ok()?,
        })
    };
    Ok(std::fs::read_to_string(path)?.lines().filter_map(parse).collect())
}

/// Returns the spans as a tree, a line for each, with those inside a span below it.
pub fn tree(spans: &[CallSpan]) -> String {
    fn below(spans: &[CallSpan], parent: u64, depth: usize, out: &mut String) {
        for span in spans.iter().filter(|span| span.parent == parent) {
            let CallSpan { process, kind, name, micros, .. } = span;
            let millis = *micros as f64 / 1000.0;
            out.push_str(&format!("{:1$}{process} ({kind}) {name} {millis:.1} ms\n", "", 2 * depth));
            below(spans, span.span, depth + 1, out);
        }
    }
    let mut out = String::new();
    below(spans, 0, 0, &mut out);
    out
}

/// Returns the policy whose spans are put under those of the callers that are trusted, and refer to those of others. All
/// are told the own ones.
pub fn policy() -> Trace {
    policy::trace()
        .extract(|span, call, relation| {
            let mut ids = call.metadata("traceparent").unwrap_or_default().split('-').skip(1);
            let trace = ids.next().and_then(|id| u128::from_str_radix(id, 16).ok());
            let parent = ids.next().and_then(|id| u64::from_str_radix(id, 16).ok());
            if let (Some(trace), Some(parent)) = (trace, parent) {
                with_ids(span, |ids| match relation {
                    Relation::Parent => (ids.trace, ids.parent) = (trace, parent),
                    Relation::Link => ids.link = parent,
                });
            }
        })
        .inject(|span| {
            let told = with_ids(span, |ids| format!("00-{:032x}-{:016x}-01", ids.trace, ids.span));
            told.map(|told| ("traceparent".to_owned(), told)).into_iter().collect()
        })
}

/// Calls `use_them` with what is known of a span of a call.
fn with_ids<T>(span: &Span, use_them: impl FnOnce(&mut CallSpan) -> T) -> Option<T> {
    span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let mut extensions = span.extensions_mut();
        extensions.get_mut::<CallSpan>().map(use_them)
    })?
}

struct Export {
    process: String,
    file: Mutex<File>,
}

impl Visit for CallSpan {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "otel.name" => self.name = format!("{value:?}").trim_matches('"').to_owned(),
            "otel.kind" => self.kind = format!("{value:?}").trim_matches('"').to_owned(),
            _ => {}
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Export {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if span.metadata().target() != "capnode::call" {
            return;
        }
        let around = span.scope().skip(1).find_map(|span| span.extensions().get::<CallSpan>().cloned());
        let random = || RandomState::new().hash_one(id.into_u64());
        let mut call = CallSpan {
            trace: around
                .as_ref()
                .map_or_else(|| u128::from(random()) << 64 | u128::from(random()), |it| it.trace),
            span: random(),
            parent: around.map_or(0, |around| around.span),
            link: 0,
            process: self.process.clone(),
            kind: String::new(),
            name: String::new(),
            micros: 0,
        };
        attributes.record(&mut call);
        span.extensions_mut().insert(call);
        span.extensions_mut().insert(Instant::now());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let extensions = span.extensions();
        let (Some(call), Some(began)) = (extensions.get::<CallSpan>(), extensions.get::<Instant>()) else {
            return;
        };
        let CallSpan { trace, span, parent, link, process, kind, name, .. } = call;
        let micros = began.elapsed().as_micros();
        let ids = format!("{trace:032x}\t{span:016x}\t{parent:016x}\t{link:016x}");
        let line = format!("{ids}\t{process}\t{kind}\t{name}\t{micros}\n");
        let mut file = self.file.lock().unwrap_or_else(|broken| broken.into_inner());
        if let Err(error) = file.write_all(line.as_bytes()) {
            eprintln!("a span is lost: {error}");
        }
    }
}
