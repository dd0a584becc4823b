//! Random frames of a peer that opens pipes, writes to anything, and uses ids in every state, while this side reads,
//! writes and drops what it got. In the end nothing is left.

use std::sync::{Arc, Mutex};

use crate::harness::*;
use capnode::sans_io::Endpoint;
use capnode::{Object, Reader, Writer};

/// Numbers that are the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The ends that this side holds.
#[derive(Clone, Default)]
struct Held {
    readers: Arc<Mutex<Vec<Reader<Value>>>>,
    writers: Arc<Mutex<Vec<Writer<Value>>>>,
}

impl Held {
    fn index(&self) -> Object {
        let (kept, lent, given) = (self.readers.clone(), self.readers.clone(), self.writers.clone());
        let keep = move |reader: Reader<Value>| {
            kept.lock().unwrap().push(reader);
            async {}
        };
        let write = move |writer: Writer<Value>| {
            given.lock().unwrap().push(writer);
            async {}
        };
        let sink = move || {
            let (writer, reader) = capnode::pipe();
            lent.lock().unwrap().push(reader);
            async { writer }
        };
        Object::new()
            .with("keep", Func::<fn(Reader<Value>)>::new(keep))
            .with("write", Func::<fn(Writer<Value>)>::new(write))
            .with("sink", Func::<fn() -> Writer<Value>>::new(sink))
            .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }))
            .with(
                "list",
                Func::<fn() -> Reader<Value>>::new(|| async { Reader::from_iter(vec![Value::Null; 50]) }),
            )
    }

    /// Reads, writes or drops one of the ends.
    fn act(&self, draw: &mut Draw) {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut readers, mut writers) = (self.readers.lock().unwrap(), self.writers.lock().unwrap());
        let any = |draw: &mut Draw, length: usize| (length > 0).then(|| draw.below(length as u64) as usize);
        match (draw.below(5), any(draw, readers.len()), any(draw, writers.len())) {
            (0, Some(at), _) => drop(std::pin::pin!(readers[at].next()).poll(&mut cx)),
            (1, _, Some(at)) => drop(std::pin::pin!(writers[at].write(Value::from("y"))).poll(&mut cx)),
            (2, Some(at), _) => {
                let reader = readers.swap_remove(at);
                drop((readers, writers));
                drop(reader);
            }
            (3, _, Some(at)) => {
                let writer = writers.swap_remove(at);
                drop((readers, writers));
                drop(writer);
            }
            _ => {}
        }
    }
}

/// A peer, by what it has numbered.
#[derive(Default)]
struct Peer {
    calls: u64,
    exports: u64,
}

impl Peer {
    /// An id that may be anything: mostly one of its calls.
    fn id(&self, draw: &mut Draw) -> String {
        match draw.below(6) {
            0 => "0".to_owned(),
            1 => format!("-{}", 1 + draw.below(5)),
            2 => "99".to_owned(),
            _ => (1 + draw.below(self.calls + 1)).to_string(),
        }
    }

    fn value(&mut self, draw: &mut Draw) -> String {
        let form = ["export", "promise", "writable", "readable", "import", "pipeline", "blob", ""]
            [draw.below(8) as usize];
        match form {
            "export" | "promise" | "writable" => {
                self.exports += 1;
                format!(r#"["{form}",-{}]"#, self.exports)
            }
            "blob" => format!(r#"["blob","",["readable",{}]]"#, self.id(draw)),
            "" => r#""x""#.to_owned(),
            _ => format!(r#"["{form}",{}]"#, self.id(draw)),
        }
    }

    fn frame(&mut self, draw: &mut Draw) -> String {
        let (target, value) = (self.id(draw), self.value(draw));
        let kind = draw.below(12);
        self.calls += u64::from(kind < 8);
        match kind {
            0 | 1 => r#"["pipe"]"#.to_owned(),
            2 | 3 => {
                let method = ["keep", "write", "echo", "list", "sink"][draw.below(5) as usize];
                let push = ["push", "stream"][draw.below(2) as usize];
                format!(r#"["{push}",["pipeline",0,["{method}"],[{value}]]]"#)
            }
            4..=6 => format!(r#"["stream",["pipeline",{target},["write"],[{value}]]]"#),
            7 => {
                let method = ["close", "abort", "flush"][draw.below(3) as usize];
                format!(r#"["stream",["pipeline",{target},["{method}"],[]]]"#)
            }
            8 => format!(r#"["pull",{target}]"#),
            9 => format!(r#"["resolve",-{},{value}]"#, 1 + draw.below(self.exports + 1)),
            10 => format!(r#"["release",{target},1]"#),
            _ => format!(r#"["reject",{},["error","Error","no"]]"#, 1 + draw.below(20)),
        }
    }
}

#[test]
fn nothing_is_left_of_any_streams() {
    for seed in 1..3_000_u64 {
        let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let (held, mut peer) = (Held::default(), Peer::default());
        let few = limits(|limits| {
            (limits.stream_bytes, limits.exports, limits.running_calls) = (20_000, 200, 4);
        });
        let mut here = Endpoint::new(Core::builder().limits(few).accepting(held.index()));
        for _ in 0..draw.below(80) {
            here.receive(&peer.frame(&mut draw));
            here.frames();
            held.act(&mut draw);
            here.settle();
            if here.core().closed().is_some() {
                break;
            }
        }
        here.receive(r#"["abort",["error","Error","bye"]]"#);
        here.settle();
        let writers = std::mem::take(&mut *held.writers.lock().unwrap());
        drop(writers);
        here.settle();
        // Each stream ends, after what had come.
        for reader in held.readers.lock().unwrap().iter_mut() {
            let mut cx = Context::from_waker(Waker::noop());
            loop {
                match std::pin::pin!(reader.next()).poll(&mut cx) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => break,
                    Poll::Pending => panic!("a stream has no end, seed {seed}"),
                }
            }
        }
        here.settle();
        let tables = here.core().tables();
        assert_eq!((tables, here.handlers()), (Default::default(), 0), "seed {seed}");
    }
}

/// An object that says when it is dropped.
struct Watched(Arc<Mutex<usize>>);

impl Drop for Watched {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += 1;
    }
}

/// The frames of a peer that hides an object of this side in streams that nobody can read.
const HIDDEN: &[(&str, &[&str])] = &[
    (
        "both ends in the pipe itself",
        &[
            r#"["pipe"]"#,
            r#"["push",["pipeline",0,["give"],[]]]"#,
            r#"["stream",["pipeline",1,["write"],[[[["import",2],["readable",1],["import",1]]]]]]"#,
            r#"["release",1,1]"#,
            r#"["release",2,1]"#,
        ],
    ),
    (
        "each end in a chunk of its own",
        &[
            r#"["pipe"]"#,
            r#"["push",["pipeline",0,["give"],[]]]"#,
            r#"["stream",["pipeline",1,["write"],[["pipeline",2]]]]"#,
            r#"["stream",["pipeline",1,["write"],[["import",1]]]]"#,
            r#"["stream",["pipeline",1,["write"],[["readable",1]]]]"#,
            r#"["release",1,1]"#,
            r#"["release",2,1]"#,
        ],
    ),
    (
        "the write end alone, and nobody reads",
        &[
            r#"["pipe"]"#,
            r#"["push",["pipeline",0,["give"],[]]]"#,
            r#"["stream",["pipeline",1,["write"],[[[["import",2],["import",1]]]]]]"#,
            r#"["release",1,1]"#,
            r#"["release",2,1]"#,
        ],
    ),
    (
        "two pipes in each other",
        &[
            r#"["pipe"]"#,
            r#"["pipe"]"#,
            r#"["push",["pipeline",0,["give"],[]]]"#,
            r#"["stream",["pipeline",1,["write"],[[[["import",3],["readable",2],["import",2]]]]]]"#,
            r#"["stream",["pipeline",2,["write"],[[[["import",3],["readable",1],["import",1]]]]]]"#,
            r#"["release",1,1]"#,
            r#"["release",2,1]"#,
            r#"["release",3,1]"#,
        ],
    ),
    (
        "behind a promise that never comes",
        &[
            r#"["pipe"]"#,
            r#"["push",["pipeline",0,["give"],[]]]"#,
            r#"["stream",["pipeline",1,["write"],[[[["promise",-1],["import",2],["readable",1],["import",1]]]]]]"#,
            r#"["release",1,1]"#,
            r#"["release",2,1]"#,
        ],
    ),
    (
        "in the arguments of a call that waits",
        &[
            r#"["pipe"]"#,
            r#"["push",["pipeline",0,["give"],[]]]"#,
            r#"["stream",["pipeline",1,["write"],[[[["import",2],["import",1]]]]]]"#,
            r#"["stream",["pipeline",0,["echo"],[[[["promise",-1],["readable",1]]]]]]"#,
            r#"["release",1,1]"#,
            r#"["release",2,1]"#,
        ],
    ),
];

#[test]
fn what_a_peer_hides_in_streams_goes_with_its_session() {
    for (name, frames) in HIDDEN {
        let dropped = Arc::new(Mutex::new(0));
        let counts = dropped.clone();
        let give = Func::<fn() -> Cap>::new(move || {
            let watched = Watched(counts.clone());
            async move {
                Func::<fn()>::new(move || {
                    let _held = &watched;
                    async {}
                })
                .into()
            }
        });
        let offered = Held::default().index().with("give", give);
        let mut endpoint = Endpoint::new(Core::builder().limits(Limits::default()).accepting(offered));
        for frame in *frames {
            endpoint.receive(frame);
        }
        let answers = endpoint.frames();
        assert!(!answers.iter().any(|answer| answer.contains("abort")), "{name}: {answers:?}");
        assert_eq!(*dropped.lock().unwrap(), 0, "{name}");
        drop(endpoint);
        assert_eq!(*dropped.lock().unwrap(), 1, "{name}: the object is kept");
    }
}
