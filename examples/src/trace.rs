//! Traces of calls by OpenTelemetry, and an exporter that writes a line into a file for each call that has ended.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use capnode::policy::{self, Relation, Trace};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanId, SpanKind, TraceContextExt, TracerProvider};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

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

/// Has OpenTelemetry write the spans of calls to the file at `path`, behind what is there.
pub fn export(process: &str, path: &Path) -> io::Result<()> {
    let file = Mutex::new(File::options().create(true).append(true).open(path)?);
    let exporter = ToFile { process: process.to_owned(), file };
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    let calls = filter_fn(|metadata| metadata.target() == "capnode::call");
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("capnode")).with_filter(calls);
    tracing::subscriber::set_global_default(Registry::default().with(layer)).map_err(io::Error::other)
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
            let Some(told) = call.metadata("traceparent") else { return };
            let carrier = HashMap::from([("traceparent".to_owned(), told.to_owned())]);
            let theirs = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
            match relation {
                Relation::Parent => {
                    if let Err(error) = span.set_parent(theirs) {
                        eprintln!("a span is not put under its parent: {error}");
                    }
                }
                Relation::Link => span.add_link(theirs.span().span_context().clone()),
            }
        })
        .inject(|span| {
            let mut carrier = HashMap::new();
            TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
            carrier.into_iter().collect()
        })
}

/// Writes a line for each span that has ended.
#[derive(Debug)]
struct ToFile {
    process: String,
    file: Mutex<File>,
}

impl SpanExporter for ToFile {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut lines = String::new();
        for span in batch {
            let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
            let link = span.links.iter().next().map_or(SpanId::INVALID, |link| link.span_context.span_id());
            let kind = if span.span_kind == SpanKind::Server { "server" } else { "client" };
            let took = span.end_time.duration_since(span.start_time).unwrap_or_default();
            let (parent, process, name) = (span.parent_span_id, &self.process, &span.name);
            lines += &format!(
                "{trace}\t{id}\t{parent}\t{link}\t{process}\t{kind}\t{name}\t{}\n",
                took.as_micros()
            );
        }
        let mut file = self.file.lock().unwrap_or_else(|broken| broken.into_inner());
        file.write_all(lines.as_bytes()).map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }
}
