//! The common part of Capnode and Q-Connection: an index, and ids that are text.

use super::*;

all! {
    /// The referent of the id. All but the last five are text.
    pub(super) enum State {
        /// The empty one, which is the index of Q-Connection.
        Empty,
        /// Of nothing that ever was.
        Unknown,
        /// A function of the index, in Capnode.
        Listed,
        /// A function that was lent and is held.
        Lent,
        /// One that was lent and given back, in Capnode.
        Dropped,
        /// One that was forgotten, since there were too many.
        Forgotten,
        /// A function of the peer.
        Theirs,
        /// The place for the answer of a call that waits.
        Pending,
        /// The place for the answer of a call that was answered.
        Answered,
        /// The place for the answer of a call that was given up.
        GivenUp,
        /// Of a function that is lent on another connection.
        OtherConnection,
        /// A name that every object has in JavaScript.
        Reserved,
        /// Of a lent function, in a message that repeats the one before.
        Twice,
        /// Longer than any id.
        TooLong,
        Number,
        HugeNumber,
        NotAnId,
        Missing,
        /// The session has ended.
        Ended,
    }
}

use State::*;

/// A session with ids in all states.
pub(super) struct Furnished {
    pub(super) peer: Endpoint,
    pub(super) offered: Offered,
    pub(super) held: Held,
    /// The functions of the index, in its order, where the language lists them.
    pub(super) listed: Vec<String>,
    pub(super) lent: String,
    pub(super) dropped: Option<String>,
    pub(super) forgotten: String,
    pub(super) elsewhere: String,
    /// The places for the answers of our calls: one waits, one has come, one was given up.
    pub(super) places: [String; 3],
}

impl Furnished {
    /// The id in a state, as it is written. Some states have several.
    fn ids(&self, state: State) -> Vec<String> {
        let text = match state {
            Number => return vec!["7".to_owned()],
            HugeNumber => return vec!["1e400".to_owned()],
            NotAnId => return ["null", "{}", "[]", "true"].map(str::to_owned).to_vec(),
            Missing => return vec![String::new()],
            Reserved => {
                return ["__proto__", "constructor", "toString"].map(|name| format!("\"{name}\"")).to_vec();
            }
            Empty => "",
            Unknown => "nobody",
            Listed => &self.listed[0],
            Lent | Twice | Ended => &self.lent,
            Dropped => self.dropped.as_deref().expect("the language gives back"),
            Forgotten => &self.forgotten,
            Theirs => "theirs",
            Pending => &self.places[0],
            Answered => &self.places[1],
            GivenUp => &self.places[2],
            OtherConnection => &self.elsewhere,
            TooLong => &"x".repeat(1_025),
        };
        vec![format!("\"{text}\"")]
    }
}

/// Scenes in which a message has an id in this state. The message is told the functions of the index, and the id as it is
/// written; none leaves it out.
pub(super) fn scenes(
    state: State,
    furnished: impl Fn() -> Furnished,
    message: impl Fn(&[String], Option<&str>) -> String,
    probe: impl Fn(&[String]) -> String,
) -> Vec<Scene> {
    let count = furnished().ids(state).len();
    let scene = |number: usize| {
        let furnished = furnished();
        let id = furnished.ids(state).swap_remove(number);
        let Furnished { mut peer, offered, held, listed, .. } = furnished;
        let message = message(&listed, Some(id.as_str()).filter(|id| !id.is_empty()));
        match state {
            Twice => peer.receive(&message),
            // A message that is longer than any may be.
            Ended => peer.receive(&" ".repeat(20_001)),
            _ => {}
        }
        let Offered { log, index, kept } = offered;
        let held = Box::new((held, index, kept));
        Scene { peer, log, held, id, message, probe: (probe(&listed), "77") }
    };
    (0..count).map(scene).collect()
}

/// Makes calls, and returns the places for their answers.
pub(super) fn places<F: Future + Unpin>(calls: &mut [F], peer: &mut Endpoint) -> [String; 3] {
    let place = |call| {
        assert!(poll(call).is_pending());
        random_in(&peer.frames().concat()).pop().expect("a place for the answer")
    };
    calls.iter_mut().map(place).collect::<Vec<_>>().try_into().expect("three calls")
}

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
