//! The common part of Capnode and Q-Connection: an index, and ids that are text.

use super::*;

type Callback = Func<fn(u32) -> u32>;

/// A function of this side that notes its calls, and counts like an object.
struct Counted(Log);

impl Counted {
    fn new(log: &Log) -> Arc<Self> {
        log.born();
        Arc::new(Self(log.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dropped();
    }
}

fn noting(log: &Log) -> Callback {
    let counted = Counted::new(log);
    Func::new(move |number: u32| {
        counted.0.push(format_args!("called {number}"));
        async move { number }
    })
}

/// An object that is put together of functions: they note, lend something new, keep what they are given, wait.
pub(super) struct Offered {
    pub(super) log: Log,
    pub(super) index: ::capnode::Object,
    pub(super) kept: Kept,
}

/// The references that the object was given to keep. They may lead to the object itself, so they are dropped by hand.
#[derive(Default)]
pub(super) struct Kept(Arc<Mutex<Vec<Cap>>>);

impl Kept {
    pub(super) fn take(&self) -> Option<Cap> {
        lock(&self.0).pop()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        while let Some(kept) = self.take() {
            drop(kept);
        }
    }
}

impl Offered {
    pub(super) fn new() -> Self {
        let log = Log::default();
        let kept = Kept::default();
        let (makes, keeps, waits) = (log.clone(), kept.0.clone(), log.clone());
        let index = ::capnode::Object::new()
            .with("note", noting(&log))
            .with("make", Func::<fn() -> Callback>::new(move || std::future::ready(noting(&makes))))
            .with(
                "keep",
                Func::<fn(Cap)>::new(move |cap: Cap| {
                    lock(&keeps).push(cap);
                    async {}
                }),
            )
            .with(
                "wait",
                Func::<fn() -> u32>::new(move || {
                    let waits = waits.clone();
                    async move {
                        waits.gate().await;
                        1
                    }
                }),
            );
        Self { log, index, kept }
    }

    /// A side that is connected to, with room for so many references beside the index.
    pub(super) fn peer(&self, exports: usize) -> Endpoint {
        let limits = limits(|limits| (limits.exports, limits.frame_bytes) = (exports, 20_000));
        accepting_within(self.index.cap(), limits)
    }
}

/// The strings of a frame that look as if drawn at random.
pub(super) fn random_in(frame: &str) -> Vec<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    frame.split(|letter| !is_part(letter)).filter(|part| part.len() >= 20).map(str::to_owned).collect()
}
