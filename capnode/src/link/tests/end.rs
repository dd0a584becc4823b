//! The end of a session: everything ends with the one cause, and nothing is left.

use super::*;
use crate::{Error, ErrorKind, Fate};

#[test]
fn everything_ends_with_the_one_cause() {
    let log = Log::default();
    let mut pair = Pair::new(log.probe());
    let probe: ProbeClient = pair.index();
    let made = pair.wait(probe.make()).unwrap();
    let mut waiting = made.wait(1);
    assert!(poll(&mut waiting).is_pending());
    let mut on_promise = probe.make_late().pipeline().note(2);
    assert!(poll(&mut on_promise).is_pending());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let _guard = made.on_broken(move |error| lock(&hear).push(error));
    pair.settle();

    let cause = Error::new(ErrorKind::Disconnected, "cable cut");
    pair.a.link.close(cause.clone());
    for call in [&mut waiting, &mut on_promise] {
        let Poll::Ready(Err(error)) = poll(call) else { panic!("it should have ended") };
        assert_eq!((error.message(), error.fate()), ("cable cut", Fate::MayHaveRun));
    }
    assert_eq!(lock(&heard)[0].message(), "cable cut");
    let Poll::Ready(Err(late)) = poll(&mut made.note(3)) else { panic!("it should fail at once") };
    assert_eq!((late.message(), late.fate()), ("cable cut", Fate::NotSent));
    assert_eq!(pair.a.link.tables(), Tables::default());

    pair.b.link.close(cause);
    pair.b.run();
    let mut events = log.take();
    // Handlers are cancelled in no particular order.
    events.sort();
    assert_eq!(events, ["cancelled 0", "cancelled 1", "started 1"]);
    assert_eq!((pair.b.link.tables(), pair.b.running()), (Tables::default(), 0));
    assert_eq!(log.probes(), 0, "the index is not held any more either");
}

#[test]
fn a_guard_that_was_dropped_hears_nothing() {
    let log = Log::default();
    let pair = Pair::new(log.probe());
    let probe: ProbeClient = pair.index();
    let heard = log.clone();
    drop(probe.on_broken(move |error| heard.push(error)));
    pair.a.link.close(Error::new(ErrorKind::Disconnected, "cable cut"));
    assert_eq!(log.take(), [""; 0]);
    let heard = log.clone();
    let _late = probe.on_broken(move |error| heard.push(error));
    assert_eq!(log.take(), ["cable cut"], "what is broken already says so at once");
}

#[test]
fn a_promise_breaks_with_what_it_was_resolved_to() {
    let log = Log::default();
    let pair = Pair::new(log.probe());
    let (promised, resolver) = ProbeClient::promise();
    let heard = log.clone();
    let _guard = promised.on_broken(move |error| heard.push(error));
    resolver.resolve(pair.index());
    assert_eq!(log.take(), [""; 0]);
    pair.a.link.close(Error::new(ErrorKind::Disconnected, "cable cut"));
    assert_eq!(log.take(), ["cable cut"]);
}

#[test]
fn a_promise_without_a_resolver_is_broken() {
    let (promised, resolver) = ProbeClient::promise();
    let mut early = promised.note(1);
    assert!(poll(&mut early).is_pending());
    drop(resolver);
    for mut call in [early, promised.note(2)] {
        let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("it should fail") };
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Unresolved, Fate::NotSent));
    }
}

#[test]
fn the_peer_is_told_why_we_end_the_session_and_nothing_after() {
    let log = Log::default();
    let mut peer = Foreign::new(log.probe());
    peer.say(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    peer.say(r#"["pull",99]"#);
    assert_eq!(peer.heard(), [r#"["abort",["error","Error","no such export ID: 99"]]"#]);
    peer.say(r#"["push",["pipeline",0,["note"],[1]]]"#);
    assert_eq!(peer.heard(), [""; 0]);
    assert_eq!(log.take(), ["started 1", "cancelled 1"]);
}

#[test]
fn an_abort_of_the_peers_ends_the_session_with_its_reason() {
    let log = Log::default();
    let mut peer = Foreign::new(log.probe());
    peer.say(r#"["abort",["error","Error","I give up"]]"#);
    assert_eq!(peer.heard(), [""; 0], "an abort is not answered");
    assert_eq!(peer.end.link.closed_error().message(), "the peer ended the session: I give up");
    let mut peer = Foreign::new(log.probe());
    peer.say(r#"["abort","plain"]"#);
    assert_eq!(peer.end.link.closed_error().message(), "the peer ended the session: plain");
}

#[test]
fn a_panic_of_a_handler_is_an_error_to_its_caller_and_to_nobody_else() {
    let log = Log::default();
    let mut pair = Pair::new(log.probe());
    let probe: ProbeClient = pair.index();
    let error = pair.wait(probe.panic()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "the handler panicked"));
    assert_eq!(pair.wait(probe.note(1)).unwrap(), 1);
}
