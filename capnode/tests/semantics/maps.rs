//! Programs of a peer that are run for each element of a value.

use std::collections::BTreeSet;

use capnode::sans_io::CoreBuilder;
use capnode::{CallInfo, Decision, Element, Policy};
use serde::{Deserialize, Serialize};

use crate::harness::*;
use crate::hostile::on_a_small_stack;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Profile {
    id: u32,
    name: String,
    tags: Vec<String>,
}

#[capnode::interface]
trait Source {
    async fn ids(&self) -> Vec<u32>;
    async fn count(&self, number: u32) -> Vec<u32>;
    async fn get(&self, id: u32) -> Profile;
    async fn dbl(&self, number: u32) -> u32;
    async fn none(&self) -> Option<u32>;
    async fn undef(&self);
    /// Waits for the gate.
    async fn slow(&self, number: u32) -> u32;
    async fn fail(&self, number: u32) -> Result<u32, String>;
    async fn this(&self) -> SourceClient;
    async fn echo(&self, value: Value) -> Value;
    async fn several(&self, count: usize) -> Vec<SourceClient>;
    async fn twice(&self, number: u32) -> u32;
}

#[derive(Clone, Default)]
struct Seen {
    state: Arc<Mutex<SeenState>>,
}

#[derive(Default)]
struct SeenState {
    begun: Vec<u32>,
    running: BTreeSet<u32>,
    most: usize,
    open: bool,
    ended: Vec<u32>,
    gates: Vec<Waker>,
}

struct Slow(Seen, u32);

impl Drop for Slow {
    fn drop(&mut self) {
        lock(&self.0.state).running.remove(&self.1);
    }
}

impl Seen {
    fn begun(&self) -> Vec<u32> {
        lock(&self.state).begun.clone()
    }

    fn open(&self) {
        let gates = {
            let mut state = lock(&self.state);
            state.open = true;
            std::mem::take(&mut state.gates)
        };
        gates.into_iter().for_each(Waker::wake);
    }
}

impl Source for Seen {
    async fn ids(&self) -> Vec<u32> {
        vec![1, 2, 3]
    }

    async fn count(&self, number: u32) -> Vec<u32> {
        (0..number).collect()
    }

    async fn get(&self, id: u32) -> Profile {
        Profile { id, name: format!("n{id}"), tags: vec![format!("t{id}"), format!("u{id}")] }
    }

    async fn dbl(&self, number: u32) -> u32 {
        lock(&self.state).begun.push(number);
        2 * number
    }

    async fn none(&self) -> Option<u32> {
        None
    }

    async fn undef(&self) {}

    async fn slow(&self, number: u32) -> u32 {
        let _running = Slow(self.clone(), number);
        {
            let mut state = lock(&self.state);
            state.begun.push(number);
            state.running.insert(number);
            state.most = state.most.max(state.running.len());
        }
        std::future::poll_fn(|cx| {
            let mut state = lock(&self.state);
            if state.open {
                return Poll::Ready(());
            }
            state.gates.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
        lock(&self.state).ended.push(number);
        number
    }

    async fn fail(&self, number: u32) -> Result<u32, String> {
        if number == 2 { Err("no two".to_owned()) } else { Ok(number) }
    }

    async fn this(&self) -> SourceClient {
        SourceClient::new(self.clone())
    }

    async fn echo(&self, value: Value) -> Value {
        value
    }

    async fn several(&self, count: usize) -> Vec<SourceClient> {
        (0..count).map(|_| SourceClient::new(self.clone())).collect()
    }

    async fn twice(&self, number: u32) -> u32 {
        number.wrapping_mul(2) % 1_000
    }
}

/// Runs a program over the result of a call, and returns the answer.
fn mapped_within(limits: Limits, call: &str, program: &str) -> (Seen, Endpoint, Vec<String>) {
    let seen = Seen::default();
    let mut peer = accepting_within(SourceClient::new(seen.clone()), limits);
    peer.receive(&format!(r#"["push",["pipeline",0,{call}]]"#));
    peer.receive(&format!(r#"["push",["remap",1,[],[["import",0]],{program}]]"#));
    peer.receive(r#"["pull",2]"#);
    let frames = peer.frames();
    (seen, peer, frames)
}

#[track_caller]
fn assert_mapped(call: &str, program: &str, answer: &str) {
    let (_, peer, frames) = mapped_within(Limits::default(), call, program);
    assert_eq!(frames, [answer], "{program}");
    assert!(peer.core().closed().is_none());
}

const GET: &str = r#"["pipeline",-1,["get"],[["pipeline",0]]]"#;

#[test]
fn a_program_runs_for_each_element() {
    let get_all = r#"["resolve",2,[[{"id":1,"name":"n1","tags":[["t1","u1"]]},{"id":2,"name":"n2","tags":[["t2","u2"]]},{"id":3,"name":"n3","tags":[["t3","u3"]]}]]]"#;
    assert_mapped(r#"["ids"],[]"#, &format!(r#"[{GET},["pipeline",1]]"#), get_all);
    assert_mapped(r#"["ids"],[]"#, &format!("[{GET}]"), get_all);
    assert_mapped(
        r#"["ids"],[]"#,
        &format!(r#"[{GET},[[["pipeline",0],["pipeline",1,["name"]],"lit",["undefined"]]]]"#),
        r#"["resolve",2,[[[[1,"n1","lit",["undefined"]]],[[2,"n2","lit",["undefined"]]],[[3,"n3","lit",["undefined"]]]]]]"#,
    );
    assert_mapped(
        r#"["ids"],[]"#,
        &format!(
            r#"[{GET},["remap",1,["tags"],[],[[[["pipeline",0]]]]],{{"id":["pipeline",0],"tags":["pipeline",2]}}]"#
        ),
        r#"["resolve",2,[[{"id":1,"tags":[[[["t1"]],[["u1"]]]]},{"id":2,"tags":[[[["t2"]],[["u2"]]]]},{"id":3,"tags":[[[["t3"]],[["u3"]]]]}]]]"#,
    );
}

#[test]
fn nothing_passes_through_and_a_single_value_is_one_element() {
    let dbl = r#"[["pipeline",-1,["dbl"],[["pipeline",0]]],["pipeline",1]]"#;
    assert_mapped(r#"["none"],[]"#, dbl, r#"["resolve",2,null]"#);
    assert_mapped(r#"["undef"],[]"#, dbl, r#"["resolve",2,["undefined"]]"#);
    assert_mapped(r#"["dbl"],[5]"#, dbl, r#"["resolve",2,20]"#);
    assert_mapped(r#"["count"],[0]"#, dbl, r#"["resolve",2,[[]]]"#);
    assert_mapped(r#"["ids"],[]"#, "[5]", r#"["resolve",2,[[5,5,5]]]"#);
    let literals = r#"[[[null,["bigint","7"],["date",1],{"a":[["x"]]},["inf"]]]]"#;
    let one = literals.strip_prefix('[').unwrap().strip_suffix(']').unwrap();
    assert_mapped(r#"["count"],[2]"#, literals, &format!(r#"["resolve",2,[[{one},{one}]]]"#));
}

#[test]
fn references_are_elements_results_and_targets() {
    let (_, mut peer, frames) = mapped_within(
        Limits::default(),
        r#"["echo"],[[[["export",-1],["import",0],7]]]"#,
        r#"[["import",0]]"#,
    );
    assert_eq!(frames, [r#"["resolve",2,[[["import",-1],["export",-1],7]]]"#]);
    peer.receive(
        r#"["push",["remap",0,[],[["import",0]],[["pipeline",0,["this"],[]],["pipeline",1,["dbl"],[4]]]]]"#,
    );
    peer.receive(r#"["pull",3]"#);
    assert_eq!(peer.frames(), [r#"["resolve",3,8]"#], "an object is a single value");
    peer.receive(r#"["stream",["pipeline",0,["echo"],[["remap",1,[],[],[[[["pipeline",0]]]]]]]]"#);
    let heard = peer.frames();
    assert_eq!(heard, [r#"["resolve",4,[[[[["import",-1]]],[[["export",-2]]],[[7]]]]]"#], "as an argument");
}

#[test]
fn the_result_of_a_map_can_be_used_before_it_is_there() {
    let seen = Seen::default();
    let mut peer = accepting(SourceClient::new(seen.clone()));
    peer.receive(r#"["push",["pipeline",0,["ids"],[]]]"#);
    peer.receive(r#"["push",["remap",1,[],[["import",0]],[["pipeline",-1,["slow"],[["pipeline",0]]]]]]"#);
    peer.receive(r#"["push",["remap",2,[],[["import",0]],[["pipeline",-1,["dbl"],[["pipeline",0]]]]]]"#);
    peer.receive(r#"["pull",3]"#);
    assert_eq!(seen.begun(), [1, 2, 3]);
    assert_eq!(peer.frames(), <[&str; 0]>::default());
    seen.open();
    peer.settle();
    assert_eq!(peer.frames(), [r#"["resolve",3,[[2,4,6]]]"#]);
}

#[test]
fn the_first_failure_fails_the_map_and_cancels_the_rest() {
    let program = r#"[["pipeline",-1,["slow"],[["pipeline",0]]],["pipeline",-1,["fail"],[["pipeline",0]]],[[["pipeline",1],["pipeline",2]]]]"#;
    let (seen, mut peer, frames) = mapped_within(Limits::default(), r#"["ids"],[]"#, program);
    assert_eq!(seen.begun(), [1, 2]);
    assert_eq!(frames, [r#"["reject",2,["error","Error","no two",null,{"data":"no two"}]]"#]);
    peer.settle();
    assert!(lock(&seen.state).running.is_empty());
    assert!(lock(&seen.state).ended.is_empty());
}

#[test]
fn a_result_that_nobody_uses_is_not_waited_for_and_not_cancelled() {
    let program = r#"[["pipeline",-1,["slow"],[["pipeline",0]]],["pipeline",-1,["fail"],[2]],7]"#;
    let (seen, mut peer, frames) = mapped_within(Limits::default(), r#"["ids"],[]"#, program);
    assert_eq!(frames, [r#"["resolve",2,[[7,7,7]]]"#]);
    peer.receive(r#"["release",2,1]"#);
    assert_eq!(lock(&seen.state).running.len(), 3);
    seen.open();
    peer.settle();
    assert_eq!(lock(&seen.state).ended, [1, 2, 3]);
}

#[test]
fn a_long_map_that_nobody_uses_goes_on_to_its_end() {
    let inner = r#"["remap",1,[],[["import",-1]],[["pipeline",-1,["dbl"],[["pipeline",0]]]]]"#;
    let program = format!(r#"[["pipeline",-1,["count"],[1000]],{inner},7]"#);
    let (seen, mut peer, frames) = mapped_within(Limits::default(), r#"["ids"],[]"#, &program);
    assert_eq!(frames, [r#"["resolve",2,[[7,7,7]]]"#]);
    peer.settle();
    assert_eq!(seen.begun().len(), 3_000);
}

#[test]
fn a_map_that_is_given_up_is_cancelled() {
    let program = r#"[["pipeline",-1,["slow"],[["pipeline",0]]]]"#;
    let (seen, mut peer, _) = mapped_within(Limits::default(), r#"["ids"],[]"#, program);
    assert_eq!(lock(&seen.state).running.len(), 3);
    peer.receive(r#"["release",2,1]"#);
    peer.settle();
    assert_eq!(lock(&seen.state).running.len(), 0);
    assert!(lock(&seen.state).ended.is_empty());
}

#[test]
fn calls_of_a_map_begin_in_order_and_few_at_once() {
    let program = r#"[["remap",0,[],[["import",-1]],[["pipeline",-1,["slow"],[["pipeline",0]]]]]]"#;
    for calls in [1, 2, 3, 7] {
        let seen = Seen::default();
        let limits = limits(|limits| limits.running_calls = calls);
        let mut peer = accepting_within(SourceClient::new(seen.clone()), limits);
        peer.receive(r#"["push",["pipeline",0,["echo"],[[[[[0,1,2]],[[3,4,5,6,7]],8,9]]]]]"#);
        peer.receive(&format!(r#"["push",["remap",1,[],[["import",0]],{program}]]"#));
        peer.receive(r#"["pull",2]"#);
        assert_eq!(seen.begun().len(), calls);
        seen.open();
        peer.settle();
        assert_eq!(peer.frames(), [r#"["resolve",2,[[[[0,1,2]],[[3,4,5,6,7]],8,9]]]"#]);
        let of = |list: std::ops::Range<u32>| {
            seen.begun().into_iter().filter(|n| list.contains(n)).collect::<Vec<_>>()
        };
        assert_eq!([of(0..3), of(3..8), of(8..10)], [vec![0, 1, 2], vec![3, 4, 5, 6, 7], vec![8, 9]]);
        assert_eq!(lock(&seen.state).most, calls);
    }
}

#[test]
fn a_program_that_multiplies_ends_within_its_steps() {
    let inner = r#"["pipeline",-1,["dbl"],[["pipeline",0]]],["pipeline",0]"#;
    let middle = format!(r#"["pipeline",-1,["count"],[1000]],["remap",1,[],[["import",-1]],[{inner}]]"#);
    let outer = format!(
        r#"[["pipeline",-1,["count"],[1000]],["pipeline",-1,["slow"],[7000]],["remap",1,[],[["import",-1]],[{middle}]]]"#
    );
    let limits = limits(|limits| limits.map_steps = 20_000);
    let (seen, mut peer, frames) = mapped_within(limits, r#"["count"],[1000]"#, &outer);
    let [refused] = &*frames else { panic!("{frames:?}") };
    assert!(refused.contains("a map of more than 20000 steps; see `Limits::map_steps`"), "{refused}");
    assert!(seen.begun().len() < 10_000 && seen.begun().contains(&7_000));
    assert!(lock(&seen.state).running.is_empty(), "what it began is cancelled");
    peer.receive(r#"["stream",["pipeline",0,["dbl"],[4]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",3,8]"#], "nothing else fails");
}

#[test]
fn a_program_that_doubles_ends_within_its_steps_and_its_bytes() {
    let double = |of: usize| format!(r#"[[["pipeline",{of}],["pipeline",{of}]]]"#);
    let doubles: Vec<_> = (0..60).map(double).collect();
    let program = format!(
        r#"[["pipeline",-1,["slow"],[0]],[[["pipeline",0],"0123456789"]],{}]"#,
        doubles[2..].join(",")
    );
    for (steps, limit) in [(10_000, "map_steps"), (usize::MAX, "unfolded_bytes")] {
        let limits = limits(|limits| limits.map_steps = steps);
        let (seen, peer, frames) = mapped_within(limits, r#"["ids"],[]"#, &program);
        let [refused] = &*frames else { panic!("{frames:?}") };
        assert!(refused.contains(&format!("`Limits::{limit}`")), "{refused}");
        assert_eq!(seen.begun(), [0]);
        assert!(lock(&seen.state).running.is_empty(), "what it began is cancelled");
        assert!(peer.core().closed().is_none());
    }
}

#[test]
fn programs_that_make_no_sense_fail_alone_and_run_nothing() {
    let programs = [
        ("[]", "a map without instructions"),
        (r#"[["pipeline",-1,["dbl"],[1]],["pipeline",5]]"#, "no such variable in a map: 5"),
        (r#"[["pipeline",-1,["dbl"],[1]],["pipeline",2]]"#, "no such variable in a map: 2"),
        (r#"[["pipeline",-1,["dbl"],[["pipeline",1]]],1]"#, "no such variable in a map: 1"),
        (r#"[["pipeline",-1,["dbl"],[1]],["pipeline",-2]]"#, "no such variable in a map: -2"),
        (r#"[["pipeline",-1,["dbl"],[1]],["pipeline",-9223372036854775808]]"#, "no such variable"),
        (r#"[["pipeline",-1,["dbl"],[1]],["export",-2]]"#, "refers to something that is not in it"),
        (r#"[["pipeline",-1,["dbl"],[1]],["promise",-2]]"#, "refers to something that is not in it"),
        (r#"[["pipeline",-1,["dbl"],[1]],["readable",2]]"#, "refers to something that is not in it"),
        (r#"[["pipeline",-1,["dbl"],[1]],["writable",-2]]"#, "refers to something that is not in it"),
        (r#"[["import",-1,["dbl"],[1]]]"#, "is made by `pipeline`"),
        (
            r#"[["pipeline",-1,["dbl"],[1]],["remap",1,[],[["import",2]],[1]]]"#,
            "no such variable in a map: 2",
        ),
        (r#"[["pipeline",-1,["dbl"],[1]],["remap",1,[],[["export",-2]],[1]]]"#, "is not in it"),
        (r#"[["pipeline",-1,["dbl"],[1]],["remap",2,[],[],[1]]]"#, "no such variable in a map: 2"),
        (r#"[["pipeline",-1,["dbl"],[1]],["remap",0,[],[],[]]]"#, "a map without instructions"),
        (r#"[["pipeline",-1,["dbl"],[1]],["remap",0,[],[],[["pipeline",-1]]]]"#, "no such variable"),
        (r#"[["pipeline",-1,["dbl"],[1]],["wat"]]"#, "unknown special value"),
        (r#"[["pipeline",-1,["dbl"],[1]],["bigint","x"]]"#, "not a big integer"),
        (r#"[["pipeline",-1,["dbl"],[1]],["remap",0,[],[],[["wat"]]]]"#, "unknown special value"),
    ];
    for (program, why) in programs {
        let (seen, peer, frames) = mapped_within(Limits::default(), r#"["ids"],[]"#, program);
        let [refused] = &*frames else { panic!("{program}: {frames:?}") };
        assert!(refused.starts_with(r#"["reject",2,"#) && refused.contains(why), "{program}: {refused}");
        assert_eq!(seen.begun(), <[u32; 0]>::default(), "{program}");
        assert!(peer.core().closed().is_none(), "{program}");
    }
}

#[test]
fn what_comes_with_a_map_that_fails_is_given_back() {
    for (map, why) in [
        (r#"["remap",9,[],[["export",-1]],[1]]"#, "no such entry on exports table: 9"),
        (r#"["remap",0,[],[["export",-1],["import",9]],[1]]"#, "no such entry on exports table: 9"),
        (r#"["remap",0,[],[["export",-1]],[]]"#, "without instructions"),
        (r#"["remap",0,[],[["export",-1]],[["pipeline",-1,["x"],[]],["pipeline",7]]]"#, "no such variable"),
    ] {
        let mut peer = accepting(SourceClient::new(Seen::default()));
        peer.receive(&format!(r#"["stream",{map}]"#));
        let mut heard = peer.frames();
        heard.sort();
        assert_eq!(heard.len(), 2, "{map}: {heard:?}");
        assert!(heard[0].starts_with(r#"["reject",1,"#) && heard[0].contains(why), "{map}: {heard:?}");
        assert_eq!(heard[1], r#"["release",-1,1]"#, "{map}");
    }
}

#[test]
fn maps_inside_maps_take_no_stack_without_bound() {
    on_a_small_stack(|| {
        for depth in [1, 10, 32, 40, 60, 200] {
            let nested =
                (1..depth).fold("[7]".to_owned(), |inner, _| format!(r#"[["remap",0,[],[],{inner}]]"#));
            let (_, peer, frames) = mapped_within(Limits::default(), r#"["count"],[2]"#, &nested);
            if depth <= 32 {
                assert_eq!(frames, [r#"["resolve",2,[[7,7]]]"#], "{depth}");
            } else if depth < 127 {
                assert!(frames[0].starts_with(r#"["reject",2,"#), "{depth}: {frames:?}");
            } else {
                assert!(peer.core().closed().is_some(), "a frame may not be so deep");
            }
        }
    });
}

#[test]
fn a_captured_promise_is_waited_for_without_holding_up_others() {
    let seen = Seen::default();
    let limits = limits(|limits| limits.running_calls = 4);
    let mut peer = accepting_within(SourceClient::new(seen.clone()), limits);
    peer.receive(r#"["push",["pipeline",0,["slow"],[9]]]"#);
    peer.receive(r#"["push",["pipeline",0,["ids"],[]]]"#);
    let program = r#"[["pipeline",-1,["dbl"],[["pipeline",0]]],[[["pipeline",1],["pipeline",-2]]]]"#;
    peer.receive(&format!(r#"["push",["remap",2,[],[["import",0],["import",1]],{program}]]"#));
    peer.receive(r#"["pull",3]"#);
    assert_eq!(seen.begun(), [9, 1, 2, 3]);
    seen.open();
    peer.settle();
    assert_eq!(peer.frames(), [r#"["resolve",3,[[[[2,9]],[[4,9]],[[6,9]]]]]"#]);
}

mod passed_on {
    //! Maps of a peer of what another peer has lent.

    use super::*;

    /// A policy that counts the calls that it is asked about.
    #[derive(Clone, Default)]
    struct Asked(Arc<AtomicUsize>);

    impl Policy for Asked {
        fn before(&self, _: &CallInfo) -> Decision {
            self.0.fetch_add(1, Ordering::SeqCst);
            Decision::Pass
        }
    }

    /// A peer whose index has a property that is a list, and what is seen of the source beside it.
    fn peer() -> (Seen, Pair) {
        let seen = Seen::default();
        let source = SourceClient::new(seen.clone());
        (seen, connected(Object::new().with("ids", vec![1, 2, 3]).with("source", source)))
    }

    /// Has a core that two peers have lent their indexes to map a list of the first one by calls of another. Returns
    /// the requests that the first one got.
    fn map(relay: CoreBuilder, far: [&mut Pair; 2], by: usize) -> Vec<String> {
        let [one, other] = far.each_ref().map(|far| far.index::<SourceClient>());
        let index = Object::new().with("one", one.cap().clone()).with("other", other.cap().clone());
        let mut near = Endpoint::new(relay.accepting(index));
        near.receive(r#"["push",["pipeline",0,["one"]]]"#);
        near.receive(r#"["push",["pipeline",0,["other"]]]"#);
        let [one, other] = far;
        let settle = |near: &mut Endpoint, one: &mut Pair, other: &mut Pair| {
            for _ in 0..3 {
                one.settle();
                other.settle();
                near.settle();
            }
        };
        settle(&mut near, one, other);
        one.clear();
        near.receive(&format!(r#"["push",["remap",1,["ids"],[["import",{by}]],{PROGRAM}]]"#));
        near.receive(r#"["pull",3]"#);
        settle(&mut near, one, other);
        assert_eq!(near.frames(), [r#"["resolve",3,[[[[1,2]],[[2,4]],[[3,6]]]]]"#]);
        let mut sent = one.recorded(Side::Connecting).to_vec();
        sent.retain(|frame| !frame.starts_with(r#"["release""#));
        sent
    }

    const PROGRAM: &str =
        r#"[["pipeline",-1,["source","dbl"],[["pipeline",0]]],[[["pipeline",0],["pipeline",1]]]]"#;

    #[test]
    fn a_map_that_is_all_about_one_peer_is_passed_on_as_one_message() {
        let ((seen, mut far), (_, mut other)) = (peer(), peer());
        let sent = map(Core::builder(), [&mut far, &mut other], 1);
        assert_eq!(sent, [format!(r#"["stream",["remap",-1,["ids"],[["import",-1]],{PROGRAM}]]"#)]);
        assert_eq!(seen.begun(), [1, 2, 3]);
    }

    #[test]
    fn a_map_that_is_about_two_peers_is_run_between_them() {
        let ((_, mut far), (seen, mut other)) = (peer(), peer());
        let sent = map(Core::builder(), [&mut far, &mut other], 2);
        assert_eq!(sent, [r#"["stream",["pipeline",-1,["ids"]]]"#]);
        assert_eq!(seen.begun(), [1, 2, 3]);
    }

    #[test]
    fn a_policy_at_the_edge_is_asked_about_each_call_of_a_map() {
        let ((_, mut far), (_, mut other)) = (peer(), peer());
        let asked = Asked::default();
        let sent = map(Core::builder().layer(asked.clone()), [&mut far, &mut other], 1);
        assert_eq!(sent.len(), 4);
        assert_eq!(asked.0.load(Ordering::SeqCst), 6);
    }
}

mod recorded {
    //! Maps of this program.

    use super::*;

    /// A client of a source that is here, or at a peer.
    fn sources() -> [(Seen, Option<Pair>, SourceClient); 2] {
        let (here, there) = (Seen::default(), Seen::default());
        let pair = connected(SourceClient::new(there.clone()));
        let index = pair.index();
        [(here.clone(), None, SourceClient::new(here)), (there, Some(pair), index)]
    }

    #[track_caller]
    fn wait<F: IntoFuture>(pair: &mut Option<Pair>, future: F) -> F::Output {
        match pair {
            Some(pair) => pair.wait(future),
            None => {
                match std::pin::pin!(future.into_future()).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => panic!("nothing is waited for"),
                }
            }
        }
    }

    #[test]
    fn calls_of_the_element_are_made_where_it_is() {
        for (_, mut pair, source) in sources() {
            let cap = source.cap();
            let get = |id: Element<u32>| cap.invoke::<Profile>("get", (id,));
            let profiles = wait(&mut pair, source.ids().map(get)).unwrap();
            assert_eq!(profiles.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["n1", "n2", "n3"]);
            let several = source.ids().map(|id| {
                let profile = get(id.clone()).element().unwrap();
                let tags: Element<Vec<String>> = profile.at("tags");
                let inner = tags.map(|tag| (tag, id.clone()));
                (id.clone(), profile.at::<String>("name"), inner, Value::from("lit"), vec![id])
            });
            let several = wait(&mut pair, several).unwrap();
            let third = (3, "n3".to_owned(), vec![("t3".to_owned(), 3), ("u3".to_owned(), 3)]);
            assert_eq!(several.len(), 3);
            assert_eq!((several[2].0, several[2].1.clone(), several[2].2.clone()), third);
            assert_eq!(several[2].4, [3]);
        }
    }

    #[test]
    fn elements_that_are_clients_have_their_methods() {
        for (seen, mut pair, source) in sources() {
            let made = source.several(3).map(|made| {
                made.dbl(4).send().unwrap();
                (made.this().pipeline().dbl(5), made.clone())
            });
            let made = wait(&mut pair, made).unwrap();
            assert_eq!(made.iter().map(|made| made.0).collect::<Vec<_>>(), [10, 10, 10]);
            assert_eq!(wait(&mut pair, made[1].1.dbl(6)).unwrap(), 12);
            assert_eq!(seen.begun(), [4, 5, 4, 5, 4, 5, 6]);
        }
    }

    #[test]
    fn one_round_trip_makes_all_calls() {
        let [_, (seen, mut pair, source)] = sources();
        let pair = pair.as_mut().unwrap();
        pair.clear();
        let cap = source.cap();
        let mapped = source.ids().map(|id| cap.invoke::<u32>("dbl", (id,))).map(|twice| (twice,));
        assert_eq!(pair.wait(mapped).unwrap(), [(2,), (4,), (6,)]);
        assert_eq!(seen.begun(), [1, 2, 3]);
        let mut sent = pair.recorded(Side::Connecting).to_vec();
        sent.retain(|frame| !frame.starts_with(r#"["release""#));
        assert_eq!(
            sent,
            [
                r#"["push",["pipeline",0,["ids"],[]]]"#,
                r#"["push",["remap",1,[],[["import",0]],[["pipeline",-1,["dbl"],[["pipeline",0]]],["pipeline",1]]]]"#,
                r#"["stream",["remap",2,[],[],[[[["pipeline",0]]]]]]"#,
            ]
        );
        let answered = pair.recorded(Side::Accepting).to_vec();
        assert_eq!(answered, [r#"["resolve",3,[[[[2]],[[4]],[[6]]]]]"#]);
        pair.assert_empty();
    }

    #[test]
    fn what_cannot_be_recorded_fails_the_map_as_not_sent() {
        for (seen, mut pair, source) in sources() {
            let polled = source.several(1).map(|made| {
                let mut call = made.dbl(1);
                let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("there is no value yet") };
                assert_eq!((error.kind(), error.fate()), (ErrorKind::Unsupported, Fate::NotSent));
                call
            });
            let error = wait(&mut pair, polled).unwrap_err();
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Unsupported, Fate::NotSent));
            let cap = source.cap();
            let put = source.ids().map(|id| {
                let _element = cap.put("x", 1).element();
                id
            });
            let error = wait(&mut pair, put).unwrap_err();
            assert!(error.message().contains("no instruction for `set`"), "{error}");
            let outside = wait(&mut pair, source.ids().map(|id| Value::from(id.cap().clone()))).unwrap();
            assert_eq!(outside, [Value::from(1), Value::from(2), Value::from(3)]);
            assert!(source.ids().element().is_err());
            assert_eq!(seen.begun(), <[u32; 0]>::default());
        }
    }

    #[test]
    fn a_map_that_is_dropped_cancels() {
        let [_, (seen, mut pair, source)] = sources();
        let pair = pair.as_mut().unwrap();
        let cap = source.cap();
        let mapped = started(source.ids().map(|id| cap.invoke::<u32>("slow", (id,))));
        pair.settle();
        assert_eq!(lock(&seen.state).running.len(), 3);
        drop(mapped);
        pair.settle();
        assert_eq!(lock(&seen.state).running.len(), 0);
    }
}

mod generated {
    //! Programs put together at random, recorded and run here, at a peer, and as a plain loop.

    use super::*;

    /// A step of a program. Numbers are places among the values so far, the last of which is the result.
    #[derive(Clone, Debug)]
    enum Step {
        Literal(u32),
        Double(usize),
        Pair(usize, usize),
        At(usize, usize),
        Map(usize, Vec<Step>),
    }

    /// The type of a value: a number, or a list of so many values of a type.
    #[derive(Clone, Debug)]
    enum Type {
        Number,
        List(Box<Type>, usize),
        /// A list of two values of any type, which are so large together.
        Mixed(usize),
    }

    impl Type {
        /// The number of values in one of the type.
        fn size(&self) -> usize {
            match self {
                Type::Number => 1,
                Type::List(element, count) => 1 + count * element.size(),
                Type::Mixed(size) => *size,
            }
        }
    }

    /// The most values in a value: what is repeated grows fast.
    const LARGEST: usize = 40;

    struct Rng(u64);

    impl Rng {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % limit
        }
    }

    fn steps(rng: &mut Rng, mut known: Vec<Type>, depth: usize) -> (Vec<Step>, Type) {
        let mut steps = Vec::new();
        for _ in 0..=rng.below(5) {
            let at = rng.below(known.len());
            let (step, kind) = match (rng.below(5), &known[at]) {
                (0, _) => (Step::Literal(u32::try_from(rng.below(100)).unwrap()), Type::Number),
                (1, kind) => {
                    let other = rng.below(known.len());
                    (Step::Pair(at, other), Type::Mixed(1 + kind.size() + known[other].size()))
                }
                (2 | 3, Type::List(_, _)) if depth > 0 => {
                    let Type::List(element, count) = known[at].clone() else { continue };
                    let inner = known.iter().cloned().chain([*element]).collect();
                    let (inner, kind) = self::steps(rng, inner, depth - 1);
                    (Step::Map(at, inner), Type::List(Box::new(kind), count))
                }
                (_, Type::List(element, count)) if *count > 0 => {
                    (Step::At(at, rng.below(*count)), (**element).clone())
                }
                (_, Type::Number) => (Step::Double(at), Type::Number),
                (_, Type::List(..) | Type::Mixed(_)) => (Step::Literal(7), Type::Number),
            };
            if kind.size() <= LARGEST {
                steps.push(step);
                known.push(kind);
            }
        }
        if steps.is_empty() {
            return (vec![Step::Literal(3)], Type::Number);
        }
        let last = known.pop().unwrap();
        (steps, last)
    }

    /// Runs the steps, as a loop would.
    fn run(steps: &[Step], mut known: Vec<Value>) -> Value {
        for step in steps {
            let list = |at: &usize| known[*at].as_array().unwrap().to_vec();
            let value = match step {
                Step::Literal(number) => Value::from(*number),
                Step::Double(at) => {
                    let number = u32::try_from(known[*at].as_u64().unwrap()).unwrap();
                    Value::from(number.wrapping_mul(2) % 1_000)
                }
                Step::Pair(one, other) => Value::Array(vec![known[*one].clone(), known[*other].clone()]),
                Step::At(at, index) => list(at)[*index].clone(),
                Step::Map(at, inner) => {
                    let of = |element| run(inner, known.iter().cloned().chain([element]).collect());
                    Value::Array(list(at).into_iter().map(of).collect())
                }
            };
            known.push(value);
        }
        known.pop().unwrap()
    }

    /// Records the steps.
    fn record(cap: &Cap, steps: &[Step], mut known: Vec<Element<Value>>) -> Element<Value> {
        for step in steps {
            let element = match step {
                Step::Literal(number) => cap.invoke::<Value>("echo", (number,)).element(),
                Step::Double(at) => cap.invoke::<Value>("twice", (&known[*at],)).element(),
                Step::Pair(one, other) => {
                    let pair =
                        Value::Array([one, other].map(|at| Value::Cap(known[*at].cap().clone())).into());
                    cap.invoke::<Value>("echo", (pair,)).element()
                }
                Step::At(at, index) => Ok(known[*at].at(&index.to_string())),
                Step::Map(at, inner) => {
                    let mapped = known[*at]
                        .map(|element| record(cap, inner, known.iter().cloned().chain([element]).collect()));
                    mapped.element()
                }
            };
            known.push(element.unwrap());
        }
        known.pop().unwrap()
    }

    #[test]
    fn a_program_gives_the_same_here_at_a_peer_and_as_a_loop() {
        let here = SourceClient::new(Seen::default());
        let mut pair = connected(SourceClient::new(Seen::default()));
        let there: SourceClient = pair.index();
        for seed in 0..300 {
            let mut rng = Rng(seed);
            let lists: Vec<Value> = (0..rng.below(4))
                .map(|from| {
                    Value::Array((0..3).map(|n| Value::from(u32::try_from(from).unwrap() + n)).collect())
                })
                .collect();
            let (steps, _) = steps(&mut rng, vec![Type::List(Box::new(Type::Number), 3)], 3);
            let list = Value::Array(lists.clone());
            let expected = Value::Array(lists.into_iter().map(|list| run(&steps, vec![list])).collect());
            for (mut pair, source) in [(None, &here), (Some(&mut pair), &there)] {
                let mapped = source.echo(list.clone()).map(|x| record(source.cap(), &steps, vec![x]));
                let outcome = match &mut pair {
                    Some(pair) => pair.wait(mapped),
                    None => {
                        let mut mapped = mapped.into_future();
                        // It lets others have their turn now and then.
                        let polled = (0..100).find_map(|_| match poll(&mut mapped) {
                            Poll::Ready(outcome) => Some(outcome),
                            Poll::Pending => None,
                        });
                        polled.expect("nothing is waited for")
                    }
                };
                assert_eq!(outcome.unwrap(), expected, "{seed}, {}: {steps:?}", pair.is_some());
            }
        }
        drop((here, there));
        pair.assert_empty();
    }
}
