//! Streams in generated schedules: what a reader sees is what was written, in its order, and ends as its writer ended it,
//! wherever the two ends are and whenever frames arrive.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capnode::sans_io::{Core, Pair, Side};
use capnode::{Cap, Dialect, Error, Func, Limits, Object, Reader, Writer};
use capnode_tests::lab::Rng;
use capnode_tests::number;

/// The ends that the accepting side holds.
type Held = Arc<Mutex<(Option<Writer<u64>>, Option<Reader<u64>>)>>;

/// The places of the two ends.
#[derive(Clone, Copy, Debug)]
enum Route {
    /// Both here.
    Local,
    /// The reader was passed to the peer.
    Argument,
    /// The reader is the peer's result.
    Returned,
    /// The writer is the peer's result.
    Lent,
    /// The writer was passed to the peer.
    WriterPassed,
    /// The reader was passed to the peer and came back.
    ThereAndBack,
}

const ROUTES: [Route; 6] =
    [Route::Local, Route::Argument, Route::Returned, Route::Lent, Route::WriterPassed, Route::ThereAndBack];

fn index(held: &Held) -> Object {
    let (keep, give, lines, sink, keep_writer) =
        (held.clone(), held.clone(), held.clone(), held.clone(), held.clone());
    let keep = Func::<fn(Reader<u64>)>::new(move |reader: Reader<u64>| {
        keep.lock().unwrap().1 = Some(reader);
        async {}
    });
    let give = Func::<fn() -> Option<Reader<u64>>>::new(move || {
        let reader = give.lock().unwrap().1.take();
        async { reader }
    });
    let lines = Func::<fn() -> Reader<u64>>::new(move || {
        let (writer, reader) = capnode::pipe();
        lines.lock().unwrap().0 = Some(writer);
        async { reader }
    });
    let sink = Func::<fn() -> Writer<u64>>::new(move || {
        let (writer, reader) = capnode::pipe();
        sink.lock().unwrap().1 = Some(reader);
        async { writer }
    });
    let keep_writer = Func::<fn(Writer<u64>)>::new(move |writer: Writer<u64>| {
        keep_writer.lock().unwrap().0 = Some(writer);
        async {}
    });
    Object::new()
        .with("keep", keep)
        .with("give", give)
        .with("lines", lines)
        .with("sink", sink)
        .with("keepWriter", keep_writer)
}

/// Returns the ends of a new stream.
fn ends(pair: &mut Pair, held: &Held, route: Route) -> (Writer<u64>, Reader<u64>) {
    let peer = pair.connecting().index::<Cap>();
    let there = || held.lock().unwrap();
    let kept = |outcome: Option<Result<(), Error>>| outcome.expect("it is answered").expect("it is kept");
    let (writer, reader) = capnode::pipe();
    match route {
        Route::Local => (writer, reader),
        Route::Argument => {
            kept(pair.run(peer.invoke("keep", (reader,))));
            (writer, there().1.take().unwrap())
        }
        Route::Returned => {
            let reader = pair.run(peer.invoke::<Reader<u64>>("lines", ())).unwrap().unwrap();
            (there().0.take().unwrap(), reader)
        }
        Route::Lent => {
            let writer = pair.run(peer.invoke::<Writer<u64>>("sink", ())).unwrap().unwrap();
            (writer, there().1.take().unwrap())
        }
        Route::WriterPassed => {
            kept(pair.run(peer.invoke("keepWriter", (writer,))));
            (there().0.take().unwrap(), reader)
        }
        Route::ThereAndBack => {
            kept(pair.run(peer.invoke("keep", (reader,))));
            let reader = pair.run(peer.invoke::<Option<Reader<u64>>>("give", ())).unwrap().unwrap();
            (writer, reader.expect("it was kept"))
        }
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The close of a writer that has begun.
type Closing = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// A stream as its two holders know it.
struct Play {
    writer: Option<Writer<u64>>,
    closing: Option<Closing>,
    closed: Option<Result<(), Error>>,
    written: Vec<u64>,
    failed: Option<Error>,
    /// A part of the error that the reader gets, if the writer has ended the stream by one.
    aborted: Option<&'static str>,
    reader: Option<Reader<u64>>,
    read: Vec<u64>,
    end: Option<Result<(), Error>>,
    /// A part of the error that the writer gets, if the reader has gone.
    gone: Option<&'static str>,
    cut: bool,
}

impl Play {
    fn new((writer, reader): (Writer<u64>, Reader<u64>)) -> Self {
        Self {
            writer: Some(writer),
            closing: None,
            closed: None,
            written: Vec::new(),
            failed: None,
            aborted: None,
            reader: Some(reader),
            read: Vec::new(),
            end: None,
            gone: None,
            cut: false,
        }
    }

    fn write(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        let value = self.written.len() as u64;
        match poll(pin!(writer.write(value))) {
            Poll::Ready(Ok(())) => self.written.push(value),
            Poll::Ready(Err(error)) => self.failed = Some(error),
            Poll::Pending => {}
        }
    }

    /// Reads what is there, at most so much. Returns `true` if there was anything.
    fn read(&mut self, most: usize) -> bool {
        let before = self.read.len();
        while self.read.len() < before + most && self.end.is_none() {
            let Some(reader) = &mut self.reader else { break };
            match poll(pin!(reader.next())) {
                Poll::Ready(Some(Ok(value))) => self.read.push(value),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Pending => break,
            }
        }
        self.read.len() > before
    }

    fn close(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.closing = Some(Box::pin(writer.close()));
            self.poll_closing();
        }
    }

    fn poll_closing(&mut self) {
        if let Some(Poll::Ready(closed)) = self.closing.as_mut().map(|closing| poll(closing.as_mut())) {
            (self.closing, self.closed) = (None, Some(closed));
        }
    }

    fn end_by_writer(&mut self, drops: bool) {
        let Some(writer) = self.writer.take() else { return };
        if drops {
            self.aborted = Some("without `close`");
            drop(writer);
        } else {
            self.aborted = Some("changed my mind");
            writer.abort(Error::rejected("changed my mind"));
        }
    }

    fn end_by_reader(&mut self, drops: bool) {
        if self.end.is_some() {
            return;
        }
        let Some(reader) = self.reader.take() else { return };
        if drops {
            self.gone = Some("not read to its end");
            drop(reader);
        } else {
            self.gone = Some("had enough");
            reader.cancel(Error::rejected("had enough"));
        }
    }

    fn act(&mut self, pair: &mut Pair, rng: &mut Rng, ends: bool) {
        match rng.below(100) {
            0..30 => self.write(),
            30..45 => drop(self.read(1 + rng.below(4))),
            45..65 => drop(pair.deliver(Side::Accepting)),
            65..85 => drop(pair.deliver(Side::Connecting)),
            85..90 => drop(pair.poll_handlers(Side::Connecting)),
            90..95 => drop(pair.poll_handlers(Side::Accepting)),
            95 if ends => self.close(),
            96 if ends => self.end_by_writer(rng.chance(50)),
            97 if ends => self.end_by_reader(rng.chance(50)),
            98 if ends && rng.chance(20) => {
                self.cut = true;
                pair.connecting().close("cut");
                pair.accepting().close("cut");
            }
            _ => self.poll_closing(),
        }
    }

    /// Lets everything happen that does.
    fn settle(&mut self, pair: &mut Pair) {
        self.close();
        for _ in 0..1_000 {
            // A read may be a call, which is to be delivered.
            let moved = self.read(1 << 20) | pair.step();
            let pending = self.closing.is_some();
            self.poll_closing();
            if !moved && pending == self.closing.is_some() {
                return;
            }
        }
        panic!("it does not end");
    }

    fn check(&self, route: Route, dialect: Dialect) {
        let reason = |error: &Error| error.to_string();
        assert!(self.written.starts_with(&self.read), "{:?} was read of {:?}", self.read, self.written);
        assert!(self.closing.is_none(), "the writer waits for ever");
        let cut = self.cut && !matches!(route, Route::Local);
        if self.reader.is_some() {
            match (&self.end, self.aborted) {
                (Some(Ok(())), None) => assert_eq!(self.read, self.written),
                (Some(Err(error)), _) if cut => {
                    let known = self.aborted.is_some_and(|aborted| reason(error).contains(aborted));
                    assert!(known || reason(error).contains("cut"), "{error:?}");
                }
                (Some(Err(error)), Some(aborted)) => assert!(reason(error).contains(aborted), "{error:?}"),
                other => panic!("the reader's end is {other:?}"),
            }
        }
        if let (None, false, Some(Ok(()))) = (&self.aborted, cut, &self.end) {
            assert!(matches!(self.closed, Some(Ok(()))), "{:?}", self.closed);
        }
        if let (Some(gone), false) = (self.gone, cut) {
            for told in [self.failed.as_ref(), self.closed.as_ref().and_then(|closed| closed.as_ref().err())]
            {
                assert!(told.is_none_or(|error| reason(error).contains(gone)), "{told:?}");
            }
            // What is asked for ahead counts as read.
            let ahead = dialect != Dialect::CapnWeb && !matches!(route, Route::Local);
            assert!(ahead || !matches!(self.closed, Some(Ok(()))), "nobody has read to the end");
        } else if self.gone.is_none() && !cut {
            assert!(self.failed.is_none(), "{:?}", self.failed);
        }
    }
}

/// Plays one schedule.
fn play(seed: u64) {
    let rng = &mut Rng::new(seed);
    let held = Held::default();
    let mut limits = Limits::default();
    if rng.chance(50) {
        limits.stream_window = 1 << 10;
    }
    let dialect = *rng.pick(&[Dialect::CapnWeb, Dialect::Capnode, Dialect::Q]).unwrap();
    let connecting = Core::builder().limits(limits.clone()).dialect(dialect).connecting(());
    let mut pair = Pair::new(connecting, Core::builder().limits(limits).accepting(index(&held)));
    pair.settle();
    let route = *rng.pick(&ROUTES).unwrap();
    let mut play = Play::new(ends(&mut pair, &held, route));
    let actions = rng.magnitude(400);
    let first_end = rng.below(actions + 1);
    for action in 0..actions {
        play.act(&mut pair, rng, action > first_end);
    }
    play.settle(&mut pair);
    play.check(route, dialect);
    let cut = play.cut;
    drop(play);
    *held.lock().unwrap() = Default::default();
    pair.settle();
    assert_eq!(pair.handlers(), 0, "a handler is left");
    if !cut {
        for tables in [pair.connecting().tables(), pair.accepting().tables()] {
            // Only Cap'n Web has releases of all that was lent.
            let exports = if dialect == Dialect::CapnWeb { 0 } else { tables.exports };
            assert_eq!((tables.imports, tables.exports), (0, exports));
            assert_eq!((tables.calls, tables.running), (0, 0));
        }
    }
}

#[test]
fn what_is_read_is_what_was_written_wherever_the_ends_are() {
    let (count, first) = (number("CAPNODE_STREAMS").unwrap_or(1_000), number("CAPNODE_SEED").unwrap_or(0));
    for seed in first..first + count {
        let played = std::panic::catch_unwind(|| play(seed));
        assert!(played.is_ok(), "with CAPNODE_SEED={seed}");
    }
}
