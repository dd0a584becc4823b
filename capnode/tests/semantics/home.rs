//! A reference sent back to where it came from arrives as the original.

use crate::harness::*;

#[test]
fn a_reference_of_ours_comes_home_as_the_object_itself() {
    let (log, mut pair, probe) = linked_probe();
    let ours = log.probe();
    let back = pair.wait(probe.back(ours.clone())).unwrap();
    assert_eq!(back, ours);
    assert!(Arc::ptr_eq(&back.cap().local::<Noting>().unwrap(), &ours.cap().local::<Noting>().unwrap()));
    let inside = pair.wait(probe.back_inside(ours.clone())).unwrap();
    assert_eq!(inside, [ours]);
}

#[test]
fn a_reference_of_the_peers_arrives_there_as_the_object_itself() {
    let (log, mut pair, probe) = linked_probe();
    let theirs = pair.wait(probe.make()).unwrap();
    assert!(pair.wait(probe.is_mine(theirs.clone())).unwrap());
    assert!(pair.wait(probe.is_mine(probe.clone())).unwrap(), "the index too");
    assert!(!pair.wait(probe.is_mine(log.probe())).unwrap());
}

#[test]
fn a_reference_lent_again_is_equal_to_the_first() {
    let log = Log::default();
    let made = log.probe();
    let mut pair = connected(log.probe());
    let probe: ProbeClient = pair.index();
    let lend = made.clone();
    let first = pair.wait(probe.back_inside(lend)).unwrap();
    let second = pair.wait(probe.back_inside(made)).unwrap();
    assert_eq!(first, second);
    // And there, a reference that this side lends twice is one.
    let theirs = pair.wait(probe.make()).unwrap();
    let again = pair.wait(probe.back(theirs.clone())).unwrap();
    assert_eq!(theirs, again);
}

#[test]
fn the_result_that_is_all_of_an_answer_goes_to_a_foreign_peer_as_a_new_reference() {
    let (_log, mut peer) = offered_probe();
    peer.receive(r#"["stream",["pipeline",0,["back"],[["export",-1]]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",1,["export",-1]]"#]);
    // Calls on it are passed on to the peer's object.
    peer.receive(r#"["stream",["pipeline",-1,["note"],[5]]]"#);
    assert_eq!(peer.frames(), [r#"["push",["pipeline",-1,["note"],[5]]]"#, r#"["pull",1]"#]);
    peer.receive(r#"["resolve",1,5]"#);
    assert_eq!(peer.frames(), [r#"["release",1,1]"#, r#"["resolve",2,5]"#]);
    // Releasing it releases the reference that the peer had lent for it.
    peer.receive(r#"["release",-1,1]"#);
    assert_eq!(peer.frames(), [r#"["release",-1,1]"#]);
    assert_eq!(peer.core().tables(), Tables::default());
}

#[test]
fn inside_a_value_it_goes_home_to_a_foreign_peer_too() {
    let (_log, mut peer) = offered_probe();
    peer.receive(r#"["stream",["pipeline",0,["backInside"],[["export",-1]]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",1,[[["import",-1]]]]"#, r#"["release",-1,1]"#]);
}

#[test]
fn a_reference_passed_on_to_a_third_party_works_through_the_second() {
    let log = Log::default();
    // `c` offers the object, and `b` passes the reference from `c` on to `a`.
    let mut far = connected(log.probe());
    let at_b: ProbeClient = far.index();
    let mut near = connected(at_b);
    let at_a: ProbeClient = near.index();
    let mut call = at_a.make().pipeline().note(9);
    assert!(poll(&mut call).is_pending());
    let answer = loop {
        if let Poll::Ready(answer) = poll(&mut call) {
            break answer;
        }
        let moved = near.deliver(Side::Accepting)
            | far.deliver(Side::Accepting)
            | far.deliver(Side::Connecting)
            | near.deliver(Side::Connecting);
        assert!(
            moved
                | near.poll_handlers(Side::Connecting)
                | near.poll_handlers(Side::Accepting)
                | far.poll_handlers(Side::Connecting)
                | far.poll_handlers(Side::Accepting)
        );
    };
    assert_eq!(answer.unwrap(), 9);
    assert_eq!(log.take(), ["9"]);
}

#[test]
fn what_a_foreign_peer_has_exported_is_itself_and_is_not_read() {
    let mut peer = accepting(Log::default().probe());
    peer.receive(r#"["stream",["pipeline",0,["keep"],[["export",-1]]]]"#);
    drop(peer.frames());
    let theirs = peer.core().index::<Cap>();
    let mut read = theirs.read::<Cap>();
    let Poll::Ready(Ok(read)) = poll(&mut read) else { panic!("it is there") };
    assert!(read == theirs);
    assert_eq!(peer.frames(), [""; 0]);
}

#[test]
fn a_promise_of_a_foreign_peer_is_read_by_a_push_of_its_own() {
    let mut peer = connecting();
    let made = peer.core().index::<ProbeClient>().make().pipeline();
    let mut read = started(Cap::from(made.clone()).read::<ProbeClient>());
    let asked = [
        r#"["release",0,0]"#,
        r#"["push",["pipeline",0,["make"],[]]]"#,
        r#"["push",["pipeline",1]]"#,
        r#"["pull",2]"#,
    ];
    assert_eq!(peer.frames(), asked);
    peer.receive(r#"["resolve",2,["export",-1]]"#);
    let Poll::Ready(Ok(read)) = poll(&mut read) else { panic!("it is there") };
    // The received reference is the object itself.
    let mut again = Cap::from(read.clone()).read::<ProbeClient>();
    assert!(matches!(poll(&mut again), Poll::Ready(Ok(again)) if again == read));
    assert_eq!(peer.frames(), [r#"["release",2,1]"#]);
}

#[test]
fn the_index_of_a_peer_that_may_be_marked_is_read_once_that_is_known() {
    for mark in [false, true] {
        let mut peer = connecting();
        let index = peer.core().index::<Cap>();
        let mut read = started(index.read::<Value>());
        assert_eq!(peer.frames(), [r#"["release",0,0]"#, r#"["push",null]"#, r#"["pull",1]"#]);
        if mark {
            peer.receive(r#"["release",0,0]"#);
        }
        peer.receive(r#"["resolve",1,null]"#);
        if !mark {
            assert!(matches!(poll(&mut read), Poll::Ready(Ok(Value::Cap(itself))) if itself == index));
            assert_eq!(peer.frames(), [r#"["release",1,1]"#]);
            continue;
        }
        assert!(poll(&mut read).is_pending());
        let said = [r#"["abilities","context"]"#, r#"["release",1,1]"#, r#"["stream",["pipeline",0]]"#];
        assert_eq!(peer.frames(), said);
        peer.receive(r#"["resolve",2,5]"#);
        assert!(matches!(poll(&mut read), Poll::Ready(Ok(Value::Number(five))) if five == 5.0));
    }
}

#[test]
fn a_promise_for_somebody_elses_object_as_an_argument_arrives_as_that_object() {
    let log = Log::default();
    let mut there = connecting();
    let probe = log.probe();
    let index = Value::from([
        ("there", Value::Cap(there.core().index::<Cap>())),
        ("echo", Value::Cap(Func::<fn(Value) -> Value>::new(|value| async move { value }).into())),
    ]);
    let mut here = accepting(index);
    here.receive(r#"["push",["pipeline",0,["there","make"],[]]]"#);
    assert_eq!(there.frames()[1], r#"["push",["pipeline",0,["make"],[]]]"#);
    // Before the object is there, and after.
    here.receive(r#"["stream",["pipeline",0,["echo"],[["pipeline",1]]]]"#);
    there.receive(r#"["resolve",1,["export",-1]]"#);
    here.receive(r#"["stream",["pipeline",0,["echo"],[["pipeline",1]]]]"#);
    assert_eq!(here.frames(), [r#"["resolve",2,["export",-1]]"#, r#"["resolve",3,["export",-2]]"#]);
    assert_eq!(there.frames(), [r#"["release",1,1]"#], "nobody asks the object what it is");
    drop(probe);
}
