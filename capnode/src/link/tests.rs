//! Tests of the rules that [`crate::sans_io`] does not show: the frames of a write, the turns of a driver, the counts
//! of a node, and a session without an index. All others are in `tests/semantics`.

use std::sync::{Arc, Mutex};
#[cfg(feature = "host")]
use std::time::Duration;

#[cfg(feature = "host")]
use super::effects::Effects;
#[cfg(feature = "host")]
use super::locked::Cause;
use super::pool::Pool;
#[cfg(feature = "host")]
use super::state::State;
use super::{Link, LinkConfig};
#[cfg(feature = "host")]
use crate::Object;
use crate::cap::data::index;
use crate::session::Side;
#[cfg(feature = "host")]
use crate::sync::atomic::Ordering;
use crate::sync::lock;
use crate::{Cap, Func, Limits, Value};

mod twins;

/// Creates the accepting side of a session.
fn accepting(index: Option<Cap>) -> Arc<Link> {
    Link::new(Side::Accepting, index, LinkConfig::default())
}

/// Returns the frames that wait to be written.
fn write(link: &Arc<Link>) -> Vec<String> {
    std::iter::from_fn(|| link.next_frame()).collect()
}

#[test]
fn many_drops_are_one_write() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let keep = Func::<fn(Cap)>::new(move |cap: Cap| {
        lock(&keep).push(cap);
        async {}
    });
    let link = accepting(Some(keep.into()));
    for id in 1..=10 {
        link.receive(&format!(r#"["push",["pipeline",0,[],[["export",-{id}]]]]"#));
    }
    write(&link);
    let held = std::mem::take(&mut *lock(&kept));
    assert_eq!(held.len(), 10);
    drop(held);
    assert_eq!(write(&link).len(), 10);
}

#[test]
fn without_an_index_every_use_of_it_fails_and_the_session_goes_on() {
    let link = accepting(None);
    link.receive(r#"["stream",["pipeline",0,["x"],[]]]"#);
    link.receive(r#"["stream",["pipeline",0,["y"]]]"#);
    assert_eq!(
        write(&link),
        [
            r#"["reject",1,["error","Error","This connection has no main object."]]"#,
            r#"["reject",2,["error","Error","This connection has no main object."]]"#,
        ]
    );
}

#[cfg(feature = "host")]
#[test]
fn calls_look_for_results_that_may_fail_only_as_long_as_there_are_any() {
    let link = accepting(None);
    link.receive(r#"["stream",["pipeline",0,["x"],[]]]"#);
    let index = link.peer_index();
    let restricted = || {
        index.invoke::<()>("y", ()).send().unwrap();
        link.restricted.load(Ordering::SeqCst)
    };
    assert!(!restricted());
    let result = index.invoke::<()>("x", ()).timeout(Duration::from_secs(60)).pipeline_cap();
    assert!(restricted());
    // The number of the call after it, which reads its result.
    link.receive(r#"["resolve",3,1]"#);
    assert!(!restricted());
    result.invoke::<()>("z", ()).send().unwrap();
    assert!(!restricted());
}

#[cfg(feature = "host")]
#[test]
fn a_result_that_nobody_holds_is_read_until_the_last_call_on_it_has_ended() {
    let link = accepting(None);
    link.receive(r#"["stream",["pipeline",0,["x"],[]]]"#);
    let result = link.peer_index().invoke::<()>("x", ()).timeout(Duration::from_secs(60)).pipeline_cap();
    result.invoke::<()>("y", ()).send().unwrap();
    drop(result);
    let read = r#"["release",2,1]"#.to_owned();
    assert!(!write(&link).contains(&read));
    link.receive(r#"["resolve",3,1]"#);
    link.tick();
    assert!(write(&link).contains(&read), "it waits for its deadline");
    let remain = |state: &mut State, _: &mut Effects| {
        state.entries.deadlines.as_ref().is_some_and(|deadlines| deadlines.has_results())
    };
    assert!(!link.with_state(Cause::Driver, remain), "nothing is kept of it");
}

#[cfg(feature = "host")]
#[test]
fn a_capnode_function_that_comes_again_soon_is_not_given_back() {
    /// Returns the frames of one write, as the driver makes it.
    fn write(link: &Arc<Link>) -> Vec<String> {
        let mut out = crate::outgoing::Outgoing::default();
        link.take_output(&mut out);
        std::iter::from_fn(|| out.pop_frame().map(|frame| frame.text().to_owned())).collect()
    }

    type Callback = Func<fn(u32) -> u32>;

    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let keep = Func::<fn(Callback)>::new(move |callback: Callback| {
        let before = lock(&keep).replace(callback);
        drop(before);
        async {}
    });
    let link = accepting(Some(Object::new().with("keep", keep).cap()));
    let forget = || {
        let kept = lock(&kept).take();
        drop(kept);
    };
    link.receive(r#"{"type":"index","methodId":"i"}"#);
    let index: serde_json::Value = serde_json::from_str(&write(&link)[0]).unwrap();
    let id = index["value"]["links"][1].as_str().unwrap();
    let export_cap = |reply: &str| {
        link.receive(&format!(
            r#"{{"type":"invocation","methodId":"{id}","replyId":"{reply}","arguments":{{"links":["f",[{{"type":1,"id":0}}]],"value":{{"type":2,"id":1}}}}}}"#
        ));
        write(&link);
    };
    export_cap("a");
    forget();
    assert_eq!(write(&link), [""; 0]);
    export_cap("b");
    // It is still held after two turns.
    link.flush(false);
    link.flush(false);
    assert_eq!(write(&link), [""; 0]);
    let call = lock(&kept).as_ref().map(|callback: &Callback| callback.call(1)).expect("it was kept");
    call.send().unwrap();
    assert!(write(&link)[0].contains(r#""methodId":"f""#));
    // Now it is dropped for good, and released in the next turn.
    forget();
    assert_eq!(write(&link), [""; 0]);
    link.flush(false);
    assert_eq!(write(&link), [""; 0]);
    link.flush(false);
    let said = write(&link);
    assert!(said.len() == 1 && said[0].starts_with(r#"{"type":"dealloc","methodId":"f""#), "{said:?}");
}

#[test]
fn what_promises_turn_out_to_be_counts_with_what_the_node_holds() {
    let offered = Value::from([
        ("wait", Value::Cap(Func::<fn(Value) -> Value>::new(|_: Value| std::future::pending()).into())),
        ("echo", Value::Cap(Func::<fn(Value) -> Value>::new(|value: Value| async move { value }).into())),
    ]);
    let pool = Arc::<Pool>::default();
    let limits = Limits { running_calls: 1, ..Limits::default() };
    let config = LinkConfig { limits, pool: Some(pool.clone()), ..LinkConfig::default() };
    let link = Link::new(Side::Accepting, Some(index(&offered)), config);
    link.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    link.receive(r#"["push",["pipeline",0,["echo"],[["promise",-1]]]]"#);
    link.receive(&format!(r#"["resolve",-1,"{}"]"#, "x".repeat(100_000)));
    assert!(pool.held() > 100_000, "{}", pool.held());
    link.receive(r#"["pull",2]"#);
    link.receive(r#"["release",2,1]"#);
    link.receive(r#"["push",1]"#);
    assert!(pool.held() < 100_000, "{}", pool.held());
}

#[cfg(feature = "host")]
#[test]
fn a_wait_for_the_end_of_a_driver_is_not_woken_by_itself() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let link = accepting(None);
    link.drain();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(link.poll_gone(&mut cx).is_pending());
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    link.set_gone();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(link.poll_gone(&mut cx).is_ready());
}

#[cfg(feature = "host")]
#[test]
fn a_link_whose_driver_has_gone_counts_no_more_bytes() {
    let pool = Arc::<Pool>::default();
    let link =
        Link::new(Side::Accepting, None, LinkConfig { pool: Some(pool.clone()), ..LinkConfig::default() });
    link.set_arriving(1 << 20);
    assert_eq!(pool.held(), 1 << 20);
    link.set_gone();
    link.set_arriving(2 << 20);
    assert_eq!(pool.held(), 0);
}
