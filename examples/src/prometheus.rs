//! A small recorder for the facade `metrics`, and the text of its series as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SetRecorderError, SharedString, Unit,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// The series of a program.
#[derive(Clone, Default)]
pub struct Prometheus(Arc<Mutex<BTreeMap<Key, Arc<Series>>>>);

/// A value: of a histogram, the number of its samples and their sum.
#[derive(Default)]
struct Series(Mutex<(u64, f64)>, bool);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        lock(&self.0).1 += value as f64;
    }

    fn absolute(&self, value: u64) {
        lock(&self.0).1 = value as f64;
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        lock(&self.0).1 += value;
    }

    fn decrement(&self, value: f64) {
        lock(&self.0).1 -= value;
    }

    fn set(&self, value: f64) {
        lock(&self.0).1 = value;
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        let mut samples = lock(&self.0);
        *samples = (samples.0 + 1, samples.1 + value);
    }
}

impl Prometheus {
    /// Installs the recorder of this program.
    pub fn install() -> Result<Self, SetRecorderError<Self>> {
        let this = Self::default();
        metrics::set_global_recorder(this.clone())?;
        Ok(this)
    }

    fn series(&self, key: &Key, is_histogram: bool) -> Arc<Series> {
        let new = || Arc::new(Series(Mutex::default(), is_histogram));
        lock(&self.0).entry(key.clone()).or_insert_with(new).clone()
    }

    /// Returns the series, a line for each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, series) in &*lock(&self.0) {
            let label = |label: &metrics::Label| format!("{}={:?}", label.key(), label.value());
            let labels = key.labels().map(label).collect::<Vec<_>>().join(",");
            let (name, (count, sum)) = (key.name(), *lock(&series.0));
            // Writing into a string does not fail.
            let _written = if series.1 {
                writeln!(text, "{name}_count{{{labels}}} {count}\n{name}_sum{{{labels}}} {sum}")
            } else {
                writeln!(text, "{name}{{{labels}}} {sum}")
            };
        }
        text
    }

    /// Serves the text to every HTTP request, at the address that it returns.
    pub async fn serve(self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                while matches!(lines.next_line().await, Ok(Some(line)) if !line.is_empty()) {}
                let text = self.text();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n",
                    text.len()
                );
                let answer = format!("{head}Connection: close\r\n\r\n{text}");
                if let Err(error) = write.write_all(answer.as_bytes()).await {
                    eprintln!("a scraper has gone: {error}");
                }
            }
        });
        Ok(address)
    }
}

impl Recorder for Prometheus {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key, false))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key, false))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key, true))
    }
}
