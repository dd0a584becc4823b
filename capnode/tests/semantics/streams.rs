//! Streams of Cap'n Web, frame by frame: pipes that a peer opens and writes to, and those that are written for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::*;
use capnode::sans_io::Endpoint;
use capnode::value::Body;
use capnode::{Bytes, Error, LimitKind, Object, Reader, Writer};

type Kept = Arc<Mutex<Vec<Reader<String>>>>;

/// `keep(reader)`, which reads nothing, `lines()` of a kilobyte each without an end, and `sink()`, whose reader is kept.
fn offered(kept: &Kept) -> Object {
    let (keep, sink) = (kept.clone(), kept.clone());
    Object::new()
        .with(
            "keep",
            Func::<fn(Reader<String>)>::new(move |reader: Reader<String>| {
                keep.lock().unwrap().push(reader);
                async {}
            }),
        )
        .with(
            "lines",
            Func::<fn() -> Reader<String>>::new(|| async {
                Reader::from_iter(std::iter::repeat_with(|| "x".repeat(1 << 10)))
            }),
        )
        .with(
            "sink",
            Func::<fn() -> Writer<String>>::new(move || {
                let (writer, reader) = capnode::pipe();
                sink.lock().unwrap().push(reader);
                async { writer }
            }),
        )
}

fn accepting(change: impl FnOnce(&mut Limits)) -> (Endpoint, Kept) {
    let kept = Kept::default();
    let core = Core::builder().limits(limits(change)).accepting(offered(&kept));
    (Endpoint::new(core), kept)
}

/// Receives frames, and returns those that are written.
fn answers(endpoint: &mut Endpoint, frames: &[&str]) -> Vec<String> {
    for frame in frames {
        endpoint.receive(frame);
    }
    endpoint.frames()
}

/// Polls a reader once, as its holder would.
fn next(kept: &Kept) -> Option<Option<Result<String, Error>>> {
    let mut kept = kept.lock().unwrap();
    let reader = kept.last_mut().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::pin!(reader.next()).poll(&mut cx) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

const OPENED: &[&str] = &[r#"["pipe"]"#, r#"["stream",["pipeline",0,["keep"],[["readable",1]]]]"#];

fn write(text: &str) -> String {
    format!(r#"["stream",["pipeline",1,["write"],["{text}"]]]"#)
}

#[test]
fn a_write_is_answered_when_it_is_read() {
    let (mut peer, kept) = accepting(|_| {});
    assert_eq!(answers(&mut peer, OPENED), [r#"["resolve",2,["undefined"]]"#]);
    assert_eq!(answers(&mut peer, &[&write("a"), &write("b")]), [""; 0]);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "a"));
    assert_eq!(answers(&mut peer, &[]), [r#"["resolve",3,["undefined"]]"#]);
    assert_eq!(answers(&mut peer, &[r#"["stream",["pipeline",1,["close"],[]]]"#]), [""; 0]);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "b"));
    assert!(matches!(next(&kept), Some(None)));
    let ended = [r#"["resolve",4,["undefined"]]"#, r#"["resolve",5,["undefined"]]"#];
    assert_eq!(answers(&mut peer, &[]), ended);
    assert_eq!(answers(&mut peer, &[r#"["release",1,1]"#]), [""; 0]);
    assert_eq!(peer.core().tables(), Default::default());
}

#[test]
fn writes_are_no_running_calls_and_park_nobody() {
    let (mut peer, kept) = accepting(|limits| limits.running_calls = 1);
    answers(&mut peer, OPENED);
    let write = write("a");
    assert_eq!(answers(&mut peer, &[&*write; 1_000]), [""; 0]);
    assert_eq!(peer.core().tables().running, 0);
    let kept_another =
        answers(&mut peer, &[r#"["pipe"]"#, r#"["stream",["pipeline",0,["keep"],[["readable",1003]]]]"#]);
    assert_eq!(kept_another, [r#"["resolve",1004,["undefined"]]"#]);
    kept.lock().unwrap().clear();
    let refused = answers(&mut peer, &[]);
    assert_eq!(refused.len(), 1_000);
    assert!(refused.iter().all(|answer| answer.starts_with(r#"["reject","#)), "{:?}", refused[0]);
}

#[test]
fn the_limit_stream_bytes_is_enforced() {
    let (mut peer, kept) = accepting(|limits| limits.stream_bytes = 2_000);
    answers(&mut peer, OPENED);
    let write = write(&"x".repeat(500));
    // Each is 256 bytes more than its frame.
    assert_eq!(answers(&mut peer, &[&*write; 2]), [""; 0]);
    let refused = answers(&mut peer, &[&write, &write]);
    assert_eq!(refused.len(), 4);
    assert!(refused.iter().all(|answer| answer.contains("bytes of streams are unread")), "{refused:?}");
    assert!(matches!(next(&kept), Some(Some(Err(error))) if error.limit() == Some(LimitKind::StreamBytes)));
    // The session goes on, and there is room for another stream.
    let again =
        answers(&mut peer, &[r#"["pipe"]"#, r#"["stream",["pipeline",0,["keep"],[["readable",7]]]]"#]);
    assert_eq!(again, [r#"["resolve",8,["undefined"]]"#]);
    assert_eq!(answers(&mut peer, &[r#"["stream",["pipeline",7,["write"],["x"]]]"#]), [""; 0]);
}

#[test]
fn the_limit_stream_window_is_enforced() {
    let (mut peer, _kept) = accepting(|limits| limits.stream_window = 10 << 10);
    peer.receive(r#"["stream",["pipeline",0,["lines"],[]]]"#);
    let mut frames = peer.frames();
    loop {
        let more = peer.frames();
        if more.is_empty() {
            break;
        }
        frames.extend(more);
    }
    assert_eq!(frames[..2], [r#"["pipe"]"#, r#"["resolve",1,["readable",1]]"#]);
    // A foreign peer knows no write of several chunks.
    assert!(frames[2..].iter().all(|frame| frame.contains(r#"["write"]"#)), "{frames:?}");
    let sent = frames.len() - 2;
    assert!((8..=10).contains(&sent), "{sent}");
    // Each answer makes room for one more.
    let next = answers(&mut peer, &[r#"["resolve",2,["undefined"]]"#]);
    assert_eq!(next.len(), 1);
}

#[test]
fn a_read_end_is_taken_once_and_only_from_a_pipe() {
    let (mut peer, _kept) = accepting(|_| {});
    answers(&mut peer, OPENED);
    let again = answers(&mut peer, &[r#"["stream",["pipeline",0,["keep"],[["readable",1]]]]"#]);
    assert!(again[0].contains("no pipe to read from: 1"), "{again:?}");
    for id in ["0", "2", "99", "-5"] {
        let frame = format!(r#"["stream",["pipeline",0,["keep"],[["readable",{id}]]]]"#);
        let refused = answers(&mut peer, &[&frame]);
        assert!(refused[0].contains("no pipe to read from"), "{refused:?}");
    }
    assert!(peer.core().closed().is_none());
}

#[test]
fn a_body_of_a_reader_that_was_passed_on_takes_nothing_from_its_holder() {
    let reader = Reader::from_iter([Bytes::from(b"once")]);
    let holder = Cap::holding(&reader).unwrap();
    let body = Body::from(reader);
    let error = Cap::holding(&body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.message().contains("was read already"), "{error}");
    let Poll::Ready(Some(Err(error))) = poll(&mut Box::pin(body.into_reader().next())) else {
        panic!("an error instead of the chunk")
    };
    assert!(error.message().contains("was read already"), "{error}");
    drop(holder);
}

#[test]
fn a_write_end_is_no_promise_and_cannot_be_pulled() {
    let (mut peer, _kept) = accepting(|_| {});
    answers(&mut peer, &[OPENED[0], r#"["push",["pipeline",0,["sink"],[]]]"#, r#"["pull",2]"#]);
    for id in ["1", "-1"] {
        let refused = answers(&mut peer, &[&format!(r#"["pull",{id}]"#)]);
        let expected = format!(r#"["reject",{id},["error","Error","Cannot pull a WritableStream stub"]]"#);
        assert_eq!(refused, [expected]);
    }
    // The stream goes on.
    assert_eq!(answers(&mut peer, &[OPENED[1], &write("a")]), [r#"["resolve",3,["undefined"]]"#]);
}

#[test]
fn what_ends_a_stream_is_what_its_reader_gets() {
    for (end, expected) in [
        (r#"["release",1,1]"#, "without `close`"),
        (r#"["stream",["pipeline",1,["abort"],[["error","TypeError","enough"]]]]"#, "enough"),
        (r#"["stream",["pipeline",1,["abort"],["a text"]]]"#, "a text"),
        (r#"["stream",["pipeline",1,["abort"],[]]]"#, "without `close`"),
        (r#"["abort",["error","Error","gone"]]"#, "gone"),
    ] {
        let (mut peer, kept) = accepting(|_| {});
        answers(&mut peer, OPENED);
        peer.receive(end);
        match next(&kept) {
            Some(Some(Err(error))) => assert!(error.message().contains(expected), "{end}: {error}"),
            other => panic!("{end}: {other:?}"),
        }
        assert!(matches!(next(&kept), Some(None)));
    }
}

#[test]
fn after_the_end_there_is_room_for_nothing() {
    let (mut peer, _kept) = accepting(|_| {});
    answers(&mut peer, OPENED);
    answers(&mut peer, &[r#"["stream",["pipeline",1,["close"],[]]]"#]);
    let refused = answers(&mut peer, &[&write("late")]);
    assert!(refused[0].contains("closed already"), "{refused:?}");
    for odd in [
        r#"["stream",["pipeline",1,["flush"],[]]]"#,
        r#"["stream",["pipeline",1,[],[]]]"#,
        r#"["stream",["pipeline",1,["write"]]]"#,
    ] {
        let refused = answers(&mut peer, &[odd]);
        assert!(refused[0].starts_with(r#"["reject","#), "{odd}: {refused:?}");
    }
    assert!(peer.core().closed().is_none());
}

#[test]
fn a_chunk_that_does_not_fit_is_an_error_and_cancels() {
    let (mut peer, kept) = accepting(|_| {});
    answers(&mut peer, OPENED);
    assert_eq!(answers(&mut peer, &[r#"["stream",["pipeline",1,["write"],[7]]]"#]), [""; 0]);
    assert!(matches!(next(&kept), Some(Some(Err(error))) if error.message().contains("chunk")));
    assert!(matches!(next(&kept), Some(None)));
    assert!(answers(&mut peer, &[])[0].starts_with(r#"["reject",3"#));
    assert!(answers(&mut peer, &[&write("more")])[0].starts_with(r#"["reject",4"#));
}

#[test]
fn a_chunk_with_a_promise_keeps_its_place() {
    let (mut peer, kept) = accepting(|_| {});
    answers(&mut peer, OPENED);
    answers(&mut peer, &[r#"["stream",["pipeline",1,["write"],[["promise",-1]]]]"#, &write("second")]);
    assert!(next(&kept).is_none());
    answers(&mut peer, &[r#"["resolve",-1,"first"]"#]);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "first"));
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "second"));
}

#[test]
fn a_lent_write_end_is_written_as_one_and_takes_writes() {
    let (mut peer, kept) = accepting(|_| {});
    let lent = answers(&mut peer, &[r#"["push",["pipeline",0,["sink"],[]]]"#, r#"["pull",1]"#]);
    assert_eq!(lent, [r#"["resolve",1,["writable",-1]]"#]);
    assert_eq!(answers(&mut peer, &[r#"["stream",["pipeline",-1,["write"],["a"]]]"#]), [""; 0]);
    assert_eq!(peer.core().tables().running, 0);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "a"));
    assert_eq!(answers(&mut peer, &[]), [r#"["resolve",2,["undefined"]]"#]);
    peer.receive(r#"["release",1,1]"#);
    peer.receive(r#"["release",-1,1]"#);
    assert!(matches!(next(&kept), Some(Some(Err(_)))));
}

#[test]
fn a_chunk_that_a_relay_cannot_pass_on_fails_its_writer() {
    let kept = Kept::default();
    let mut far = connected_within(offered(&kept), limits(|limits| limits.frame_bytes = 10_000));
    let mut near = connected(far.connecting().index::<Cap>());
    let index: Cap = near.connecting().index();
    let (mut writer, reader) = capnode::pipe::<String>();
    near.run(writer.write("x".repeat(20_000))).expect("there is room").unwrap();
    index.invoke::<()>("keep", (reader,)).send().unwrap();
    let mut closing = Box::pin(writer.close());
    let mut closed = poll(&mut closing);
    for _ in 0..10 {
        near.settle();
        far.settle();
        if closed.is_pending() {
            closed = poll(&mut closing);
        }
    }
    let read = next(&kept);
    let Some(Some(Err(error))) = read else { panic!("{read:?}") };
    assert!(error.to_string().contains("`Limits::frame_bytes`"), "{error}");
    let Poll::Ready(Err(error)) = closed else { panic!("the writer waits for ever") };
    assert!(error.message().contains("`Limits::frame_bytes`"), "{error}");
}

#[test]
fn a_relay_acknowledges_what_has_been_acknowledged_to_it() {
    let kept = Kept::default();
    let mut far = connected(offered(&kept));
    let mut near = connected(far.connecting().index::<Cap>());
    let (mut writer, reader) = capnode::pipe::<String>();
    near.run(writer.write("a".to_owned())).expect("there is room").unwrap();
    near.connecting().index::<Cap>().invoke::<()>("keep", (reader,)).send().unwrap();
    let mut settle = || (0..10).for_each(|_| (near.settle(), far.settle()).0);
    let mut closing = Box::pin(writer.close());
    settle();
    assert!(poll(&mut closing).is_pending());
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "a"));
    settle();
    // Its end is not taken yet.
    assert!(poll(&mut closing).is_pending());
    assert!(matches!(next(&kept), Some(None)));
    settle();
    assert!(matches!(poll(&mut closing), Poll::Ready(Ok(()))));
}

#[test]
fn chunks_wait_while_other_output_does_and_streams_take_turns() {
    let (mut peer, _kept) = accepting(|_| {});
    peer.receive(r#"["stream",["pipeline",0,["lines"],[]]]"#);
    peer.receive(r#"["stream",["pipeline",0,["lines"],[]]]"#);
    let (mut written, mut id) = ([0, 0], 0);
    for turn in 0..20 {
        let frames = peer.frames();
        let chunks = frames.iter().filter(|frame| frame.contains("xxx")).count();
        // A kilobyte each.
        assert!((1..=66).contains(&chunks), "{turn}: {chunks}");
        for frame in frames {
            id += usize::from(!frame.starts_with(r#"["resolve""#));
            if frame.contains("xxx") {
                written[usize::from(!frame.contains(r#"["pipeline",1,"#))] += 1;
                peer.receive(&format!(r#"["resolve",{id},["undefined"]]"#));
            }
        }
    }
    assert!(written[0] * 2 > written[1] && written[1] * 2 > written[0], "{written:?}");
}

#[test]
fn small_chunks_to_a_peer_of_this_library_share_a_write() {
    let kept = Kept::default();
    let mut pair = connected(offered(&kept));
    let index: Cap = pair.connecting().index();
    pair.clear();
    let large = "x".repeat(10_000);
    let chunks = ["a", "b,[", "c", &large, "d"].map(str::to_owned);
    index.invoke::<()>("keep", (Reader::from_iter(chunks.clone()),)).send().unwrap();
    pair.settle();
    assert_eq!(
        pair.recorded(Side::Connecting),
        [
            OPENED[0].to_owned(),
            OPENED[1].to_owned(),
            r#"["stream",["pipeline",1,["writes"],["a","b,[","c"]]]"#.to_owned(),
            write(&large),
            write("d"),
            r#"["stream",["pipeline",1,["close"],[]]]"#.to_owned(),
        ]
    );
    for chunk in chunks {
        assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == chunk));
    }
    assert!(matches!(next(&kept), Some(None)));
    kept.lock().unwrap().clear();
    pair.assert_empty();
}

#[test]
fn a_write_of_several_chunks_is_answered_when_all_are_read() {
    let (mut peer, kept) = accepting(|_| {});
    answers(&mut peer, OPENED);
    let writes = |chunks: &str| format!(r#"["stream",["pipeline",1,["writes"],[{chunks}]]]"#);
    assert_eq!(answers(&mut peer, &[&writes(r#""a","b""#), &writes(r#""c",4,"e""#)]), [""; 0]);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "a"));
    assert_eq!(answers(&mut peer, &[]), [""; 0]);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "b"));
    assert_eq!(answers(&mut peer, &[]), [r#"["resolve",3,["undefined"]]"#]);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "c"));
    // One of them is no text.
    assert!(matches!(next(&kept), Some(Some(Err(_)))));
    assert!(answers(&mut peer, &[])[0].starts_with(r#"["reject",4"#));
    // What no peer of this library joins.
    for odd in [r#"["export",-1]"#, &["1"; 129].join(",")] {
        let refused = answers(&mut peer, &[&writes(odd)]);
        assert!(refused[0].contains("'writes' is not a function"), "{refused:?}");
    }
    assert!(peer.core().closed().is_none());
}

#[test]
fn small_chunks_are_joined_within_the_window() {
    let kept = Kept::default();
    let mut pair = connected_within(offered(&kept), limits(|limits| limits.stream_window = 64 << 10));
    let produced = Arc::new(AtomicUsize::new(0));
    let count = produced.clone();
    let lines = (0..100_000).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        "x".to_owned()
    });
    let index: Cap = pair.connecting().index();
    index.invoke::<()>("keep", (Reader::from_iter(lines),)).send().unwrap();
    pair.settle();
    // Each counts as 64 bytes more than its text.
    let produced = produced.load(Ordering::SeqCst);
    assert!((900..1_100).contains(&produced), "{produced}");
}

#[test]
fn each_chunk_of_a_write_counts_and_ends_with_its_stream() {
    let several = r#"["stream",["pipeline",1,["writes"],["a","b","c","d"]]]"#;
    let (mut peer, kept) = accepting(|limits| limits.stream_bytes = 1_000);
    let refused = answers(&mut peer, &[OPENED[0], OPENED[1], several]);
    assert!(refused[1].contains("bytes of streams are unread"), "{refused:?}");
    assert!(matches!(next(&kept), Some(Some(Err(error))) if error.limit() == Some(LimitKind::StreamBytes)));
    let (mut peer, kept) = accepting(|_| {});
    answers(&mut peer, &[OPENED[0], OPENED[1], several]);
    assert!(matches!(next(&kept), Some(Some(Ok(text))) if text == "a"));
    let abort = r#"["stream",["pipeline",1,["abort"],[["error","TypeError","enough"]]]]"#;
    let ended = answers(&mut peer, &[abort]);
    assert!(ended[0].starts_with(r#"["reject",3"#) && ended[0].contains("enough"), "{ended:?}");
    assert_eq!(ended[1..], [r#"["resolve",4,["undefined"]]"#]);
    assert!(matches!(next(&kept), Some(Some(Err(error))) if error.message().contains("enough")));
}

#[test]
fn a_reader_without_a_pipe_asks_ahead_and_leaves_other_calls_their_room() {
    for dialect in [Dialect::Capnode, Dialect::Q] {
        let (writer, reader) = capnode::pipe::<String>();
        let reader = Mutex::new(Some(reader));
        let quiet = Func::<fn() -> Option<Reader<String>>>::new(move || {
            let reader = reader.lock().unwrap().take();
            async { reader }
        });
        let index = Object::new().with("quiet", quiet).with("one", Func::<fn() -> u32>::new(|| async { 1 }));
        let narrow = Core::builder().limits(limits(|limits| limits.running_calls = 1)).accepting(index);
        let short = limits(|limits| limits.call_timeout = Some(Duration::from_secs(1)));
        let mut pair = Pair::new(Core::builder().dialect(dialect).limits(short).connecting(()), narrow);
        let peer: Cap = pair.connecting().index();
        let mut lines = pair.wait(peer.invoke::<Option<Reader<String>>>("quiet", ())).unwrap().unwrap();
        pair.clear();
        assert!(pair.run(lines.next()).is_none());
        // Waiting for a chunk takes as long as it takes.
        pair.connecting().tick(Duration::from_secs(2));
        assert!(pair.run(lines.next()).is_none());
        assert_eq!(pair.recorded(Side::Connecting).len(), 16, "{dialect:?}");
        assert_eq!(pair.handlers(), 16, "{dialect:?}");
        assert_eq!(pair.wait(peer.invoke::<u32>("one", ())).unwrap(), 1);
        pair.clear();
        drop(lines);
        pair.settle();
        let ended = pair.recorded(Side::Connecting);
        let returned = ended.iter().filter(|frame| frame.contains("not read to its end")).count();
        assert_eq!(returned, 1, "{dialect:?}: {ended:?}");
        assert_eq!(pair.handlers(), 0, "{dialect:?}");
        let error = pair.wait(writer.close()).unwrap_err();
        assert!(error.message().contains("not read to its end"), "{error}");
    }
}

#[test]
fn pipes_are_exports_and_count_as_such() {
    let (mut peer, kept) = accepting(|limits| limits.exports = 50);
    for _ in 0..1_000 {
        peer.receive(r#"["pipe"]"#);
        if peer.core().closed().is_some() {
            break;
        }
    }
    let closed = peer.core().closed().expect("a peer has no more pipes than exports");
    assert_eq!(closed.limit(), Some(LimitKind::Exports), "{closed:?}");
    assert_eq!(peer.core().tables(), Default::default());
    drop(kept);
}

#[test]
fn a_pipe_that_is_released_leaves_nothing() {
    let (mut peer, _kept) = accepting(|limits| limits.exports = 50);
    for id in 1..=1_000 {
        peer.receive(r#"["pipe"]"#);
        peer.receive(&format!(r#"["release",{id},1]"#));
    }
    assert_eq!(peer.frames(), [""; 0]);
    assert!(peer.core().closed().is_none());
    assert_eq!(peer.core().tables(), Default::default());
}

#[test]
fn a_hundred_thousand_writes_are_kept_and_refused_when_the_stream_is_not_read() {
    let (mut peer, kept) = accepting(|_| {});
    answers(&mut peer, OPENED);
    let write = write("a");
    for _ in 0..100_000 {
        peer.receive(&write);
    }
    assert_eq!(peer.frames(), [""; 0]);
    assert_eq!(peer.core().tables().running, 0);
    // A call beside them is answered.
    assert_eq!(
        answers(&mut peer, &[r#"["push",["pipeline",0,["none"],[]]]"#, r#"["pull",100003]"#]).len(),
        1
    );
    kept.lock().unwrap().clear();
    assert_eq!(peer.frames().len(), 100_000);
    assert!(peer.core().closed().is_none());
}

/// Calls that never end, each of which holds a count as long as it runs.
fn counting(kept: &Kept) -> (Object, Arc<()>) {
    let running = Arc::new(());
    let counted = running.clone();
    let slow = Func::<fn()>::new(move || {
        let held = counted.clone();
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    });
    (offered(kept).with("slow", slow), running)
}

/// A write of a chunk with so many calls in it.
fn calls(count: usize) -> String {
    let calls = vec![r#"["pipeline",0,["slow"],[]]"#; count].join(",");
    format!(r#"["stream",["pipeline",1,["write"],[[[{calls}]]]]]"#)
}

#[test]
fn calls_in_a_chunk_are_limited_as_those_in_any_message() {
    let kept = Kept::default();
    let (index, running) = counting(&kept);
    let few = limits(|limits| (limits.running_calls, limits.stream_bytes) = (4, 20_000));
    let mut peer = accepting_within(index, few);
    answers(&mut peer, OPENED);
    // Two are not held by calls.
    let running = || Arc::strong_count(&running) - 2;
    let most = (0..40).map(|_| {
        answers(&mut peer, &[&calls(4)]);
        running()
    });
    // Each counts as held bytes beside its text, so the stream is aborted.
    let most = most.max().unwrap();
    assert!((8..=20).contains(&most), "{most} calls run");
    assert!(matches!(next(&kept), Some(Some(Err(error))) if error.limit() == Some(LimitKind::StreamBytes)));
    assert_eq!(running(), 0);
    let told = answers(&mut peer, &[&calls(5)]);
    assert!(told.last().unwrap().contains("more than 4 calls in one message"), "{told:?}");
}

#[test]
fn a_chunk_that_is_awaited_does_not_come_through_a_revoked_membrane() {
    let kept = Kept::default();
    let (index, membrane) = capnode::revocable(Cap::from(offered(&kept)));
    let mut peer = accepting_within(index, Limits::default());
    answers(&mut peer, OPENED);
    answers(&mut peer, &[r#"["stream",["pipeline",1,["write"],[["promise",-1]]]]"#]);
    assert!(next(&kept).is_none());
    membrane.revoke(Error::rejected("taken back"));
    answers(&mut peer, &[r#"["resolve",-1,"late"]"#]);
    match next(&kept) {
        Some(Some(Err(error))) => assert_eq!(error.message(), "taken back"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn writes_through_a_membrane_are_no_running_calls_either() {
    let kept = Kept::default();
    let (index, _membrane) = capnode::revocable(Cap::from(offered(&kept)));
    let mut peer = accepting_within(index, limits(|limits| limits.running_calls = 1));
    answers(&mut peer, &[r#"["push",["pipeline",0,["sink"],[]]]"#, r#"["pull",1]"#]);
    let write = write("a");
    assert_eq!(answers(&mut peer, &[&*write; 1_000]), [""; 0]);
    assert_eq!(peer.core().tables().running, 0);
}

/// Takes its membrane back when it is asked.
#[derive(Default)]
struct TakesBack(Arc<Mutex<Option<capnode::Membrane>>>);

impl capnode::Policy for TakesBack {
    fn before(&self, _: &capnode::CallInfo) -> capnode::Decision {
        if let Some(membrane) = &*self.0.lock().unwrap() {
            membrane.revoke(Error::rejected("taken back"));
        }
        capnode::Decision::Pass
    }
}

#[test]
fn a_call_does_not_pass_once_its_policy_has_revoked() {
    let begun = Arc::<AtomicUsize>::default();
    let counted = begun.clone();
    let work = Func::<fn()>::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    });
    let policy = TakesBack::default();
    let known = policy.0.clone();
    let membrane = capnode::Membrane::new(policy);
    *known.lock().unwrap() = Some(membrane.clone());
    let mut peer =
        accepting_within(Cap::from(Object::new().with("work", membrane.wrap(work))), Limits::default());
    let told = answers(&mut peer, &[r#"["stream",["pipeline",0,["work"],[]]]"#]);
    assert!(told[0].contains("taken back"), "{told:?}");
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[test]
fn what_the_promises_in_chunks_come_to_counts_as_well() {
    let (mut peer, kept) = accepting(|limits| limits.stream_bytes = 20_000);
    let text = "x".repeat(5_000);
    for stream in 0..10 {
        let (pipe, first) = (3 * stream + 1, 2 * stream + 1);
        answers(&mut peer, &[r#"["pipe"]"#]);
        let keep = format!(r#"["stream",["pipeline",0,["keep"],[["readable",{pipe}]]]]"#);
        let two = format!(r#"[[["promise",-{first}],["promise",-{}]]]"#, first + 1);
        let chunk = format!(r#"["stream",["pipeline",{pipe},["write"],[{two}]]]"#);
        // The other promise never resolves.
        let one = format!(r#"["resolve",-{first},"{text}"]"#);
        answers(&mut peer, &[&keep, &chunk, &one]);
        assert!(next(&kept).is_none_or(|next| matches!(next, Some(Err(_)))));
    }
    let mut ended = 0;
    for reader in kept.lock().unwrap().iter_mut() {
        let polled = std::pin::pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop()));
        ended += usize::from(polled.is_ready());
    }
    assert!((5..10).contains(&ended), "{ended} streams have ended");
    assert!(peer.core().closed().is_none());
}
