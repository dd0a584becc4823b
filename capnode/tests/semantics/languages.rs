//! Peers of Capnode and Q-Connection, whose frames are written by hand: inexpressible parts must neither leak nor lose
//! anything.

use crate::harness::*;
use capnode::Object;

type Callback = Func<fn(u32) -> u32>;

/// An accepting side, and its frames.
struct Served(Endpoint);

impl Served {
    fn new(index: &Object, change: impl FnOnce(&mut Limits)) -> Self {
        Self(accepting_within(index.cap(), limits(change)))
    }

    /// Hands in a frame, and returns the frames in answer.
    fn hear(&mut self, frame: &str) -> Vec<String> {
        self.0.receive(frame);
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        self.0.frames()
    }

    fn exports(&self) -> usize {
        self.0.core().tables().exports
    }
}

/// A slot for the callback that a handler was given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Callback>>>);

impl Kept {
    /// An index with `keep(callback)`, `make()`, which gives a new function each time, and `bad()`, which gives one in a
    /// value that cannot be said.
    fn index(&self) -> Object {
        let slot = self.0.clone();
        Object::new()
            .with(
                "keep",
                Func::<fn(Callback)>::new(move |callback: Callback| {
                    let before = lock(&slot).replace(callback);
                    drop(before);
                    async {}
                }),
            )
            .with("make", Func::<fn() -> Callback>::new(|| async { Func::new(|x: u32| async move { x }) }))
            .with(
                "bad",
                Func::<fn() -> (f64, Callback)>::new(|| async {
                    (f64::NAN, Func::new(|x: u32| async move { x }))
                }),
            )
    }

    fn forget(&self) {
        let before = lock(&self.0).take();
        drop(before);
    }

    fn call(&self) -> capnode::Call<u32> {
        lock(&self.0).as_ref().map(|callback| callback.call(1)).expect("it was kept")
    }
}

fn post(id: &str, name: &str, args: &str) -> String {
    format!(r#"{{"type":"send","to":"","from":"{id}","op":"post","args":["{name}",[{args}]]}}"#)
}

#[test]
fn a_reference_that_comes_again_right_after_it_was_dropped_can_be_used() {
    let kept = Kept::default();
    let mut served = Served::new(&kept.index(), |_| {});
    served.hear(&post("a", "keep", r#"{"@":"f","type":"function"}"#));
    kept.forget();
    served.hear(&post("b", "keep", r#"{"@":"f","type":"function"}"#));
    let _call = started(kept.call());
    let said = served.said();
    assert!(said.iter().any(|frame| frame.contains(r#""to":"f""#)), "{said:?}");
}

/// The ids of the functions of the index.
fn ask_index(served: &mut Served, number: usize) -> Vec<(String, String)> {
    let said = served.hear(&format!(r#"{{"type":"index","methodId":"index-{number}"}}"#));
    let answer: serde_json::Value = serde_json::from_str(&said[0]).unwrap();
    let links = answer["value"]["links"].as_array().unwrap();
    let members = links[0].as_object().unwrap().iter();
    let id = |leaf: &serde_json::Value| {
        links[usize::try_from(leaf["id"].as_u64().unwrap()).unwrap()].as_str().unwrap().to_owned()
    };
    members.map(|(name, leaf)| (name.clone(), id(leaf))).collect()
}

fn invoke(id: &str, reply: &str, links: &str, list: &str, last: usize) -> String {
    format!(
        r#"{{"type":"invocation","methodId":"{id}","replyId":"{reply}","arguments":{{"links":[{links}[{list}]],"value":{{"type":2,"id":{last}}}}}}}"#
    )
}

#[test]
fn exports_in_answers_that_are_not_sent_are_evicted_like_others() {
    let kept = Kept::default();
    let mut served = Served::new(&kept.index(), |limits| limits.exports = 3);
    // A call without a place for its answer.
    for _ in 0..50 {
        served.hear(r#"{"type":"send","to":"","op":"post","args":["make",[]]}"#);
    }
    assert!(served.exports() <= 4, "{:?}", served.0.core().tables());

    let mut served = Served::new(&kept.index(), |limits| limits.exports = 3);
    let index = ask_index(&mut served, 1);
    let bad = &index.iter().find(|(name, _)| name == "bad").unwrap().1;
    for number in 0..50 {
        let said = served.hear(&invoke(bad, &number.to_string(), "", "", 0));
        assert!(said[0].starts_with(r#"{"type":"error""#), "{said:?}");
    }
    // The three functions of the index apart.
    assert!(served.exports() <= 3 + 4, "{:?}", served.0.core().tables());
}

#[test]
fn asking_for_the_index_again_exports_nothing_more() {
    let kept = Kept::default();
    let mut served = Served::new(&kept.index(), |_| {});
    let first = ask_index(&mut served, 0);
    for number in 1..100 {
        assert_eq!(ask_index(&mut served, number), first);
    }
    assert_eq!(served.exports(), 3);
}

#[test]
fn a_dealloc_at_the_limit_ends_nothing() {
    let kept = Kept::default();
    let mut served = Served::new(&kept.index(), |limits| limits.exports = 1);
    let index = ask_index(&mut served, 1);
    let make = &index.iter().find(|(name, _)| name == "make").unwrap().1;
    for number in 0..20 {
        let said = served.hear(&invoke(make, &number.to_string(), "", "", 0));
        let id = said[0].split(r#""links":[""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
        let said = served.hear(&format!(r#"{{"type":"dealloc","methodId":"{id}","replyId":"d"}}"#));
        assert_eq!(said, [r#"{"type":"return","methodId":"d"}"#]);
    }
    assert!(served.0.core().closed().is_none(), "{:?}", served.0.core().closed());
    assert_eq!(served.exports(), 3);
}

#[test]
fn an_id_that_is_longer_than_ids_are_is_none() {
    let kept = Kept::default();
    let mut served = Served::new(&kept.index(), |_| {});
    let long = "f".repeat(5_000);
    let said = served.hear(&post("a", "keep", &format!(r#"{{"@":"{long}","type":"function"}}"#)));
    assert!(said[0].contains("\"!\""), "{said:?}");
    assert_eq!(served.hear(&post(&long, "make", "")), [""; 0]);
    assert!(served.0.core().closed().is_none());
}

#[test]
fn a_call_that_cannot_be_said_lends_nothing() {
    let kept = Kept::default();
    let mut served = Served::new(&kept.index(), |_| {});
    let index = ask_index(&mut served, 1);
    let keep = &index.iter().find(|(name, _)| name == "keep").unwrap().1;
    served.hear(&invoke(keep, "a", r#""f","#, r#"{"type":1,"id":0}"#, 1));
    let held = Arc::new(());
    let lent = |held: Arc<()>| {
        Callback::new(move |x: u32| {
            let _held = &held;
            async move { x }
        })
    };
    let function = lock(&kept.0).as_ref().map(|function| function.cap().clone()).unwrap();
    let mut call = function.apply::<u32>((f64::NAN, lent(held.clone())));
    let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("there is no word for this number") };
    assert_eq!(error.fate(), capnode::Fate::NotSent);
    drop(call);
    assert_eq!((served.exports(), Arc::strong_count(&held)), (3, 1));
    // The peer keeps its earlier references.
    let own = Func::<fn() -> Callback>::new(|| async { Func::new(|x: u32| async move { x }) });
    assert!(poll(&mut function.apply::<u32>((own.clone(),))).is_pending());
    assert!(poll(&mut function.apply::<u32>((f64::NAN, own))).is_ready());
    assert_eq!(served.exports(), 4);
}

#[test]
fn a_refused_value_is_dropped_without_the_lock_of_its_object() {
    /// Touches the object when it is dropped.
    struct Touches(Object);

    impl Drop for Touches {
        fn drop(&mut self) {
            assert!(!self.0.names().is_empty());
        }
    }

    let object = Object::new().with("fixed", 1);
    let touches = Touches(object.clone());
    let function = Callback::new(move |x: u32| {
        let _held = &touches;
        async move { x }
    });
    let refused = now(object.cap().put("fixed", function)).unwrap_err();
    assert!(refused.message().contains("can only be read"), "{refused}");
}

#[test]
fn a_handlers_progress_is_not_taken_for_that_of_another_that_it_is_called_by() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inner = Func::<fn() -> bool>::new(|| async { capnode::report_progress(&"inner").unwrap() });
    let outer = Func::<fn() -> bool>::new(move || {
        // Reports before the first await reach the caller as well.
        let told = capnode::report_progress(&"outer").unwrap();
        let inner = inner.clone();
        async move { told && !inner.call().await.unwrap() }
    });
    let sees = seen.clone();
    let call = outer.call().on_progress(move |said: String| lock(&sees).push(said));
    assert!(now(call).unwrap());
    assert_eq!(*lock(&seen), ["outer"]);
}

/// Returns the result of a call within this program that completes at once.
fn now<T>(call: capnode::Call<T>) -> Result<T, capnode::Error>
where
    T: capnode::Wire,
{
    let mut call = call;
    match poll(&mut call) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it does not come at once"),
    }
}

/// A peer may answer the read of a property by a reference to that property.
#[cfg(feature = "tokio")]
#[test]
fn a_property_that_its_peer_answers_by_itself_fails_what_is_asked_of_it() {
    let text = |frame: &str, before: &str| {
        let rest = frame.split(before).nth(1).unwrap_or_else(|| panic!("no {before} in {frame}"));
        rest.split('"').next().unwrap().to_owned()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut end = Endpoint::new(Core::builder().dialect(Dialect::Q).connecting(()));
        let index = end.core().index::<Cap>();
        index.invoke::<()>("x", (index.at("never"),)).send().unwrap();
        let [call] = &end.frames()[..] else { panic!("more than a call") };
        let name = text(call, r#""@":""#);
        end.receive(&format!(
            r#"{{"type":"send","to":"{name}","from":"r1","op":"post","args":["title",[]]}}"#
        ));
        let mut frames = Vec::new();
        for _ in 0..20 {
            tokio::task::yield_now().await;
            end.settle();
            for frame in end.frames() {
                if frame.contains(r#""op":"get""#) {
                    let read = text(&frame, r#""from":""#);
                    end.receive(&format!(
                        r#"{{"type":"resolve","to":"{read}","resolution":{{"@l":"{name}"}}}}"#
                    ));
                }
                frames.push(frame);
            }
        }
        let answer = frames.iter().find(|frame| frame.contains(r#""to":"r1""#));
        let answer = answer.unwrap_or_else(|| panic!("no answer in {frames:?}"));
        assert!(answer.contains("passes through too many references"), "{answer}");
    });
}
