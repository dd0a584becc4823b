//! Long structures of a peer take no stack for their length: paths through members, and chains of objects that hold or
//! call each other.

use std::future::Future;
use std::sync::{Arc, Mutex};

use capnode::sans_io::{Core, Endpoint, Pair};
use capnode::value::GraphBuilder;
use capnode::{
    CallError, Cap, Client as _, Connection, Dialect, Error, ErrorKind, Func, Node, Object, Policy, Reader,
    Value, membrane,
};
use capnode_tests::{SMALL_STACK, in_memory, soon, until};
use serde_json::json;

const ALL: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];

/// Runs a future on a thread with as little stack as a program may give one.
fn on_a_small_stack(future: impl Future<Output = ()> + Send + 'static) {
    capnode_tests::on_a_small_stack(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().thread_stack_size(SMALL_STACK).build().unwrap().block_on(future);
    });
}

/// Opens a connection in memory. Returns the index of the other end, which keeps it open.
async fn over_memory(index: Cap, dialect: Dialect) -> Cap {
    in_memory(&Node::new(index), dialect).await.1
}

// ------------------------------------------------------------------ paths

#[capnode::interface]
trait Leaf {
    async fn next(&self) -> u32;
}

struct Counter;

impl Leaf for Counter {
    async fn next(&self) -> u32 {
        1
    }
}

/// Members of each kind.
#[capnode::interface]
trait Members {
    async fn method(&self) -> u32;
    async fn child(&self) -> LeafClient;
    #[capnode(property)]
    async fn number(&self) -> u32;
    #[capnode(property)]
    async fn leaf(&self) -> LeafClient;
    #[capnode(property)]
    async fn function(&self) -> Func<fn() -> u32>;
    #[capnode(property)]
    async fn record(&self) -> Vec<LeafClient>;
    #[capnode(property)]
    async fn object(&self) -> Cap;
}

struct All;

impl Members for All {
    async fn method(&self) -> u32 {
        2
    }
    async fn child(&self) -> LeafClient {
        LeafClient::new(Counter)
    }
    async fn number(&self) -> u32 {
        3
    }
    async fn leaf(&self) -> LeafClient {
        LeafClient::new(Counter)
    }
    async fn function(&self) -> Func<fn() -> u32> {
        Func::new(|| async { 4 })
    }
    async fn record(&self) -> Vec<LeafClient> {
        vec![LeafClient::new(Counter)]
    }
    async fn object(&self) -> Cap {
        Object::new().with("name", "ann").with("leaf", LeafClient::new(Counter)).cap()
    }
}

const STEPS: [&str; 11] =
    ["method", "child", "number", "leaf", "function", "record", "object", "next", "0", "name", "missing"];

/// Returns the visible part of an outcome: the kind of a value or of an error.
fn seen(outcome: Result<Value, Error>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}").split(['(', '{']).next().unwrap_or_default().to_owned(),
        Err(error) => format!("error {:?}", error.kind()),
    }
}

/// Reads and calls every path of up to three steps below `cap`, and returns the outcomes.
async fn walk(cap: &Cap) -> Vec<String> {
    let mut all = Vec::new();
    for first in STEPS {
        for second in STEPS {
            for third in STEPS.map(Some).into_iter().chain([None]) {
                let mut inside = cap.at(first);
                let mut last = second;
                if let Some(third) = third {
                    inside = inside.at(second);
                    last = third;
                }
                let read = seen(soon(inside.get::<Value>(last)).await);
                let called = seen(soon(inside.invoke::<Value>(last, ())).await);
                all.push(format!("{first}.{second}.{third:?}: {read}, {called}"));
            }
        }
    }
    all
}

#[test]
fn every_path_has_an_end_and_is_the_same_from_afar() {
    on_a_small_stack(async {
        let here = Cap::from(MembersClient::new(All));
        let local = walk(&here).await;
        let there = walk(&over_memory(here.clone(), Dialect::CapnWeb).await).await;
        for (here, there) in local.iter().zip(&there) {
            assert_eq!(here, there);
        }
        assert_eq!(local.len(), there.len());
        let q = walk(&over_memory(here.clone(), Dialect::Q).await).await;
        let capnode = walk(&over_memory(here.clone(), Dialect::Capnode).await).await;
        assert_eq!((q.len(), capnode.len()), (local.len(), local.len()));
    });
}

#[test]
fn a_path_below_a_method_is_undefined_as_below_a_function() {
    on_a_small_stack(async {
        let here = Cap::from(MembersClient::new(All));
        for cap in [here.clone(), over_memory(here, Dialect::CapnWeb).await] {
            let method = cap.at("method");
            assert_eq!(soon(method.get::<Value>("next")).await.unwrap(), Value::Undefined);
            let error = soon(method.invoke::<Value>("next", ())).await.unwrap_err();
            assert!(error.message().contains("'next' is not a function"), "{error}");
            let error = soon(method.at("next").get::<Value>("more")).await.unwrap_err();
            assert!(error.message().contains("undefined"), "{error}");
        }
    });
}

#[test]
fn nothing_below_a_member_can_be_set_deleted_or_listed_without_end() {
    on_a_small_stack(async {
        let here = Cap::from(MembersClient::new(All));
        for dialect in [None, Some(Dialect::Q), Some(Dialect::Capnode)] {
            let cap = match dialect {
                Some(dialect) => over_memory(here.clone(), dialect).await,
                None => here.clone(),
            };
            for step in STEPS {
                let inside = cap.at(step);
                let set = soon(inside.put("next", 1)).await;
                assert!(set.is_err(), "{dialect:?} {step}");
                let deleted = soon(inside.delete("next")).await;
                assert!(deleted.is_err() || step == "object", "{dialect:?} {step}");
                // It has an end, which depends on the member.
                let _listed = soon(inside.keys()).await;
            }
        }
        assert_eq!(soon(here.at("object").keys()).await.unwrap(), ["name", "leaf"]);
        assert_eq!(soon(here.at("leaf").keys()).await.unwrap(), ["next"]);
    });
}

#[test]
fn a_path_leads_through_a_value_inside_itself_as_often_as_it_has_steps() {
    capnode_tests::on_a_small_stack(|| {
        let mut graph = GraphBuilder::new();
        let node = graph.node();
        graph.set(&node, &Value::from([("self", node.clone().into()), ("n", Value::from(1))])).unwrap();
        let mut inside = Cap::holding(&graph.finish(node).unwrap()).unwrap();
        for _ in 0..256 {
            inside = inside.at("self");
        }
        let core = Core::accepting(inside);
        let steps = r#""self","#.repeat(255);
        core.receive(&format!(r#"["push",["pipeline",0,[{steps}"n"]]]"#));
        core.receive(r#"["pull",1]"#);
        assert_eq!(core.next_frame().as_deref(), Some(r#"["resolve",1,1]"#));
    });
}

// ------------------------------------------------------------------ inherited members

#[capnode::interface(extends(Leaf))]
trait Middle {
    async fn middle(&self) -> u32;
}

#[capnode::interface(extends(Middle))]
trait Child {
    async fn child(&self) -> u32;
}

impl Middle for Counter {
    async fn middle(&self) -> u32 {
        5
    }
}

impl Child for Counter {
    async fn child(&self) -> u32 {
        6
    }
}

/// Has a member of the name `next`, and nothing to do with `Leaf`.
#[capnode::interface]
trait Alike {
    async fn other(&self) -> u32;
    async fn next(&self) -> u32;
}

#[tokio::test]
async fn members_are_found_by_the_client_of_another_interface_here_and_from_afar() {
    let here = Cap::from(ChildClient::new(Counter));
    let mut caps = vec![here.clone()];
    for dialect in ALL {
        caps.push(over_memory(here.clone(), dialect).await);
    }
    for cap in caps {
        let child = ChildClient::from_cap(cap.clone());
        assert_eq!(soon(child.child()).await.unwrap(), 6);
        assert_eq!(soon(MiddleClient::from(child.clone()).middle()).await.unwrap(), 5);
        assert_eq!(soon(LeafClient::from(MiddleClient::from(child)).next()).await.unwrap(), 1);
        // Nothing is checked when a client is made of a reference: the names count.
        let alike = AlikeClient::from_cap(cap);
        assert_eq!(soon(alike.next()).await.unwrap(), 1);
        assert!(soon(alike.other()).await.is_err());
    }
}

// ------------------------------------------------------------------ chains

/// Wraps its argument in one more object.
#[capnode::interface]
trait Wrap {
    async fn wrap(&self, inner: WrapClient) -> WrapClient;
    async fn depth(&self) -> Result<u32, Error>;
    /// Does not end before it is given up.
    async fn wait(&self) -> Result<(), Error>;
    #[capnode(no_cancel)]
    async fn insist(&self) -> Result<u32, Error>;
    /// Calls `told` with `n`, then has the inner one do so with the next number.
    async fn tell(&self, n: usize, told: Func<fn(usize)>) -> Result<(), Error>;
}

struct Wrapper {
    inner: Option<WrapClient>,
    counts: Arc<Counts>,
}

/// Each live object holds it, and each waiting handler its member.
#[derive(Default)]
struct Counts {
    waiting: Arc<()>,
}

impl Counts {
    fn live(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    fn waiting(&self) -> usize {
        Arc::strong_count(&self.waiting) - 1
    }
}

fn own(error: CallError<Error>) -> Error {
    match error {
        CallError::Returned(error) | CallError::Failed(error) => error,
    }
}

impl Wrap for Wrapper {
    async fn wrap(&self, inner: WrapClient) -> WrapClient {
        WrapClient::new(Wrapper { inner: Some(inner), counts: self.counts.clone() })
    }
    async fn depth(&self) -> Result<u32, Error> {
        match &self.inner {
            Some(inner) => Ok(1 + inner.depth().await.map_err(own)?),
            None => Ok(0),
        }
    }
    async fn wait(&self) -> Result<(), Error> {
        let _waiting = self.counts.waiting.clone();
        match &self.inner {
            Some(inner) => inner.wait().await.map_err(own),
            None => std::future::pending().await,
        }
    }
    async fn insist(&self) -> Result<u32, Error> {
        match &self.inner {
            Some(inner) => Ok(1 + inner.insist().await.map_err(own)?),
            None => {
                tokio::task::yield_now().await;
                Ok(0)
            }
        }
    }
    async fn tell(&self, n: usize, told: Func<fn(usize)>) -> Result<(), Error> {
        told.call(n).send()?;
        match &self.inner {
            Some(inner) => inner.tell(n + 1, told).await.map_err(own),
            None => Ok(()),
        }
    }
}

fn root() -> (WrapClient, Arc<Counts>) {
    let counts = Arc::<Counts>::default();
    (WrapClient::new(Wrapper { inner: None, counts: counts.clone() }), counts)
}

/// The last of a chain of `length` objects, each of which holds the one before.
async fn chain(root: &WrapClient, length: usize) -> WrapClient {
    let mut last = root.clone();
    for _ in 0..length {
        last = root.wrap(last).await.unwrap();
    }
    last
}

#[test]
fn a_chain_of_objects_is_dropped_whatever_its_length() {
    on_a_small_stack(async {
        let (root, counts) = root();
        let last = chain(&root, 100_000).await;
        assert_eq!(counts.live(), 100_001);
        drop(last);
        assert_eq!(counts.live(), 1);
    });
}

#[test]
fn a_chain_that_a_peer_has_made_is_dropped_when_it_lets_go_or_leaves() {
    on_a_small_stack(async {
        for dialect in ALL {
            for leave in [false, true] {
                let (root, counts) = root();
                let node = Node::new(root);
                let (_, connection): (_, Connection) = in_memory(&node, dialect).await;
                let remote: WrapClient = connection.index();
                let last = chain(&remote, 3_000).await;
                // Q-Connection has no release, and Capnode's comes late, once for each link of the chain.
                if leave || dialect != Dialect::CapnWeb {
                    connection.close();
                }
                drop(last);
                until("one is left", || counts.live() == 1).await;
            }
        }
    });
}

#[test]
fn functions_and_values_that_hold_each_other_are_dropped_whatever_their_number() {
    on_a_small_stack(async {
        let mut function = Func::<fn() -> u32>::new(|| async { 0 });
        let mut value = Cap::from(function.clone());
        let mut object = value.clone();
        for _ in 0..100_000 {
            let inner = function;
            function = Func::new(move || {
                let inner = inner.clone();
                async move { inner.call().await.unwrap_or_default() + 1 }
            });
            value = Cap::holding(&[value]).unwrap();
            object = Object::new().with("inner", object).cap();
        }
        drop(function);
        drop(value);
        drop(object);
    });
}

#[test]
fn a_call_goes_through_a_chain_whatever_its_length() {
    on_a_small_stack(async {
        let (root, _) = root();
        let last = chain(&root, 20_000).await;
        assert_eq!(last.depth().await.unwrap(), 20_000);
        assert_eq!(last.insist().await.unwrap(), 20_000);
    });
}

#[test]
fn a_peer_calls_through_a_chain_that_it_has_made() {
    on_a_small_stack(async {
        for dialect in ALL {
            let (root, _) = root();
            let remote = WrapClient::from_cap(over_memory(Cap::from(root), dialect).await);
            let last = chain(&remote, 1_000).await;
            assert_eq!(soon(last.depth()).await.unwrap(), 1_000, "{dialect:?}");
        }
    });
}

#[test]
fn giving_up_a_call_ends_every_handler_of_a_chain() {
    on_a_small_stack(async {
        let (root, counts) = root();
        let last = chain(&root, 10_000).await;
        let task = tokio::spawn(async move { last.wait().await });
        until("all wait", || counts.waiting() == 10_001).await;
        task.abort();
        until("none waits", || counts.waiting() == 0).await;
    });
}

#[test]
fn calls_keep_their_order_where_handlers_become_tasks() {
    on_a_small_stack(async {
        let (root, _) = root();
        let last = chain(&root, 100).await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = told.clone();
        // Noted when the handler begins, not when it is made.
        let note = move |n: usize| {
            let list = list.clone();
            async move { list.lock().unwrap().push(n) }
        };
        last.tell(0, note).await.unwrap();
        assert_eq!(*told.lock().unwrap(), (0..=100).collect::<Vec<_>>());
    });
}

#[test]
fn without_a_runtime_the_owner_of_a_core_runs_the_chain() {
    capnode_tests::on_a_small_stack(|| {
        let (root, _) = root();
        let mut pair = Pair::new(Core::connecting(()), Core::accepting(root));
        let remote: WrapClient = pair.connecting().index();
        let mut last = remote.clone();
        for _ in 0..300 {
            last = remote.wrap(last).pipeline();
        }
        let depth = pair.run(last.depth()).expect("it is answered");
        assert_eq!(depth.unwrap(), 300);
    });
}

#[test]
fn without_a_runtime_or_core_a_long_chain_of_calls_is_refused() {
    let build = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let last = build.block_on(async { chain(&root().0, 100).await });
    drop(build);
    let mut call = std::pin::pin!(last.depth().into_future());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = call.as_mut().poll(&mut cx) else { panic!("it is pending") };
    let error = own(outcome.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("too many calls inside one another"), "{error}");
}

// ----------------------------------------------------------------- values

/// A user's type that nests.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Tree {
    name: String,
    below: Vec<Tree>,
}

/// Sends a value that is as deep as messages may be, and back, in each language.
async fn echo_deep<T>(make: impl Fn(usize) -> T, levels: [usize; 3])
where
    T: capnode::Wire + Clone + PartialEq + std::fmt::Debug,
{
    let echo = Func::<fn(T) -> T>::new(|value: T| async move { value });
    for (dialect, levels) in ALL.into_iter().zip(levels) {
        let peer = over_memory(Cap::from(echo.clone()), dialect).await;
        let value = make(levels);
        let back = soon(peer.apply::<T>((&value,))).await;
        assert!(back.is_ok_and(|back| back == value), "{dialect:?}, {}", std::any::type_name::<T>());
        // A few more are too deep.
        assert!(soon(peer.apply::<T>((make(levels + 20),))).await.is_err(), "{dialect:?}");
    }
}

#[test]
fn a_value_may_be_as_deep_as_the_limit_on_a_small_stack() {
    on_a_small_stack(async {
        let leaf = Value::Bool(true);
        let nested = |wrap: fn(Value) -> Value| {
            let leaf = leaf.clone();
            move |levels| (0..levels).fold(leaf.clone(), |inner, _| wrap(inner))
        };
        echo_deep(nested(|inner| Value::Array(vec![inner])), [240; 3]).await;
        echo_deep(nested(|inner| Value::Object(vec![("a".to_owned(), inner)])), [240; 3]).await;
        echo_deep(|levels| (0..levels).fold(json!(true), |inner, _| json!([inner])), [240; 3]).await;
        echo_deep(|levels| (0..levels).fold(json!(true), |inner, _| json!({ "a": inner })), [240; 3]).await;
        let leaf = Tree { name: "leaf".to_owned(), below: Vec::new() };
        let tree = |levels| {
            let wrap = |inner, _| Tree { name: "branch".to_owned(), below: vec![inner] };
            (0..levels / 2).fold(leaf.clone(), wrap)
        };
        echo_deep(tree, [240; 3]).await;
    });
}

#[test]
fn a_stream_that_a_peer_takes_through_a_membrane_again_and_again_is_refused_in_the_end() {
    struct Passing;
    impl Policy for Passing {}
    capnode_tests::on_a_small_stack(|| {
        let echo = Func::<fn(Reader<Value>) -> Reader<Value>>::new(|stream: Reader<Value>| async { stream });
        let mut end = Endpoint::new(Core::accepting(membrane(echo, Passing)));
        let mut say = |frame: String| {
            end.receive(&frame);
            end.frames().join(" ")
        };
        say(r#"["pipe"]"#.to_owned());
        say(r#"["push",["pipeline",0,[],[["readable",1]]]]"#.to_owned());
        for last in 2..10_000 {
            say(format!(r#"["push",["pipeline",0,[],[["pipeline",{last}]]]]"#));
        }
        let heard = say(r#"["pull",10000]"#.to_owned());
        assert!(heard.contains("too many"), "{heard}");
        assert_eq!(end.core().closed().map(|error| error.to_string()), None);
    });
}
