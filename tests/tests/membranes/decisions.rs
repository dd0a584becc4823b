//! Tests of decisions by policies, of calls that wait for them, and of the ready policies.

use std::hash::{Hash, Hasher};
use std::sync::Barrier;
use std::time::Duration;

use capnode::{ErrorKind, Fate, revocable};

use super::*;

#[tokio::test]
async fn a_decision_that_waits_holds_back_what_follows_on_the_reference_alone() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (asks, pings) = (asked.clone(), Arc::new(AtomicUsize::new(0)));
    let ask = policy::ask(move |call: &CallInfo| {
        let (sender, decided) = tokio::sync::oneshot::channel();
        asks.lock().unwrap().push((call.path(), sender));
        async move { decided.await.unwrap_or_else(|_| Err(Error::rejected("nobody"))) }
    });
    let membrane = Membrane::new(ask);
    let leaf = membrane.wrap(LeafClient::new(Counted(pings.clone())));
    let other = membrane.wrap(LeafClient::new(Counted(pings.clone())));
    let next = || asked.lock().unwrap().pop();

    let first = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    let second = tokio::spawn(leaf.peek().into_future());
    tokio::task::yield_now().await;
    let (path, decide) = next().unwrap();
    assert_eq!(path, "ping");
    assert!(next().is_none(), "the second call waits for the first decision");
    let third = tokio::spawn(other.ping().into_future());
    tokio::task::yield_now().await;
    let (_, decide_other) = next().unwrap();
    decide_other.send(Ok(())).unwrap();
    assert_eq!(third.await.unwrap().unwrap(), 1);
    decide.send(Err(Error::rejected("no"))).unwrap();
    let refused = first.await.unwrap().unwrap_err();
    assert_eq!((refused.message(), refused.fate()), ("no", Fate::NotSent));
    tokio::task::yield_now().await;
    let (path, decide) = next().unwrap();
    assert_eq!(path, "peek");
    decide.send(Ok(())).unwrap();
    assert_eq!(second.await.unwrap().unwrap(), 1);

    // A caller that gives up takes nothing with it.
    let given_up = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    let behind = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    drop(next().unwrap());
    given_up.abort();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let (_, decide) = next().unwrap();
    decide.send(Ok(())).unwrap();
    assert_eq!(behind.await.unwrap().unwrap(), 2);

    // A decision ends with the membrane.
    let waiting = tokio::spawn(leaf.ping().into_future());
    tokio::task::yield_now().await;
    membrane.revoke(Error::rejected("over"));
    assert_eq!(waiting.await.unwrap().unwrap_err().message(), "over");
}

#[tokio::test]
async fn what_was_asked_of_a_promise_goes_before_what_is_asked_of_its_resolution() {
    for is_part in [false, true] {
        let (world, decide) = (world(), Arc::new(tokio::sync::Notify::new()));
        let decides = decide.clone();
        let membrane = Membrane::new(policy::ask(move |call: &CallInfo| {
            let decided = call.path().ends_with("ping").then(|| decides.clone());
            async move {
                if let Some(decided) = decided {
                    decided.notified().await;
                }
                Ok(())
            }
        }));
        let vault = VaultClient::from_arc(world.inside.clone());
        let (later, resolver) = capnode::promise::<LeafClient>();
        let (later_vault, vault_resolver) = capnode::promise::<VaultClient>();
        let part = LeafClient::from_cap(later_vault.cap().at("pinned"));
        let stand_in = membrane.wrap(if is_part { part } else { later });
        let mut first = stand_in.ping();
        assert!(poll_once(&mut first).is_pending());
        resolver.resolve(world.raw.clone());
        vault_resolver.resolve(vault);
        let resolved = if is_part { stand_in.clone() } else { membrane.wrap(world.raw.clone()) };
        let (mut second, mut third) = (resolved.peek(), stand_in.peek());
        assert!(poll_once(&mut second).is_pending(), "it overtakes, part: {is_part}");
        assert!(poll_once(&mut third).is_pending(), "it overtakes, part: {is_part}");
        decide.notify_one();
        assert_eq!((first.await.unwrap(), second.await.unwrap(), third.await.unwrap()), (1, 1, 1));
    }
}

#[test]
fn a_promise_behind_a_membrane_is_equal_to_its_resolution_as_without() {
    for membranes in 0..3 {
        let all: Vec<_> = (0..membranes).map(|_| Membrane::new(Noting::default())).collect();
        let wrap = |cap: Cap| all.iter().fold(cap, |cap, membrane| membrane.wrap(cap));
        let (raw, vault) = (LeafClient::new(Counted::default()), world().inside);
        let (later, resolver) = capnode::promise::<LeafClient>();
        let (later_vault, vault_resolver) = capnode::promise::<VaultClient>();
        let bound = |vault: &VaultClient| wrap(vault.cap().at("leaf"));
        let (promised, part) = (wrap(later.clone().into()), bound(&later_vault));
        assert_ne!(promised, wrap(raw.clone().into()));
        resolver.resolve(raw.clone());
        vault_resolver.resolve(VaultClient::from_arc(vault.clone()));
        let resolved = wrap(raw.into());
        assert_eq!((&promised, hash(&promised)), (&resolved, hash(&resolved)), "{membranes}");
        assert_eq!(promised, wrap(later.into()));
        let vault = VaultClient::from_arc(vault);
        assert_eq!(part, bound(&vault), "{membranes}");
        assert_ne!(promised, part);
        drop(resolved);
        let before = hash(&promised);
        assert_eq!(before, hash(&promised));
        all.iter().for_each(|membrane| membrane.revoke(Error::rejected("over")));
        assert_eq!(before, hash(&promised), "it is another one when it is revoked");
    }
    // One that is resolved to something of its holder is that.
    let (world, own) = (world(), LeafClient::new(Counted::default()));
    let (later, resolver) = capnode::promise::<LeafClient>();
    let promised = world.membrane.wrap(later);
    runtime().block_on(world.vault.hold(own.clone()).into_future()).unwrap();
    resolver.resolve(world.inside.got.lock().unwrap()[0].clone());
    assert_eq!(promised, own);
    // Neither does one that stands for itself take for ever.
    let (later, resolver) = capnode::promise::<LeafClient>();
    let itself = world.membrane.wrap(later);
    resolver.resolve(itself.clone());
    assert_eq!(itself, itself.clone());
}

fn hash(cap: &Cap) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    cap.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn what_waited_in_a_promise_behind_a_membrane_was_not_sent() {
    for revoked in [false, true] {
        for membranes in 1..3 {
            let all: Vec<_> = (0..membranes).map(|_| Membrane::new(Noting::default())).collect();
            let (later, _resolver) = capnode::promise::<LeafClient>();
            let stand_in = all.iter().fold(later, |leaf, membrane| membrane.wrap(leaf));
            let error = runtime().block_on(async {
                let ping = tokio::spawn(stand_in.ping().timeout(Duration::from_secs(1)).into_future());
                let read = tokio::spawn(stand_in.cap().read::<Cap>().into_future());
                tokio::task::yield_now().await;
                if revoked {
                    all.iter().for_each(|membrane| membrane.revoke(Error::rejected("over")));
                    assert_eq!(read.await.unwrap().unwrap_err().fate(), Fate::MayHaveRun);
                }
                ping.await.unwrap().unwrap_err()
            });
            let kind = if revoked { ErrorKind::Rejected } else { ErrorKind::Timeout };
            assert_eq!((error.kind(), error.fate()), (kind, Fate::NotSent), "{error}");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[tokio::test]
async fn a_call_of_a_promise_is_asked_about_once_it_is_known_what_that_is() {
    let world = world();
    // The promise of an object with another interface, whose method has the name that is listed.
    let membrane = Membrane::new(policy::only(["Vault.ping", "Vault.leaf"]));
    let (later, resolver) = capnode::promise::<LeafClient>();
    let stand_in = membrane.wrap::<Cap>(later.into());
    let mut call = stand_in.invoke::<usize>("ping", ());
    assert!(poll_once(&mut call).is_pending());
    resolver.resolve(world.raw.clone());
    assert_eq!(call.await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(world.pings.load(Ordering::SeqCst), 0);
    // One that stands for something of the outside is that.
    let own = LeafClient::new(Counted::default());
    let (later, resolver) = capnode::promise::<LeafClient>();
    let stand_in = world.membrane.wrap(later);
    world.vault.hold(own).await.unwrap();
    resolver.resolve(world.inside.got.lock().unwrap()[0].clone());
    world.noted.0.lock().unwrap().clear();
    assert_eq!(stand_in.ping().await.unwrap(), 1);
    assert!(world.noted.0.lock().unwrap().is_empty());
    world.membrane.revoke(Error::rejected("over"));
    assert_eq!(stand_in.ping().await.unwrap_err().message(), "over");
}

#[tokio::test]
async fn what_waits_behind_a_decision_is_let_go_when_nobody_wants_it() {
    let world = world();
    let (sender, decided) = tokio::sync::oneshot::channel::<()>();
    let first = Mutex::new(Some(decided));
    let asks = policy::ask(move |_: &CallInfo| {
        let decided = first.lock().unwrap().take();
        async move {
            if let Some(decided) = decided {
                decided.await.unwrap();
            }
            Ok(())
        }
    });
    let membrane = Membrane::new(asks);
    let vault = membrane.wrap(VaultClient::from_arc(world.inside.clone()));
    let mut waiting = vault.leaf();
    assert!(poll_once(&mut waiting).is_pending());
    let pings = Arc::new(AtomicUsize::new(0));
    let mut behind = vault.hold(LeafClient::new(Counted(pings.clone())));
    assert!(poll_once(&mut behind).is_pending());
    assert_eq!(Arc::strong_count(&pings), 2);
    drop(behind);
    assert_eq!(Arc::strong_count(&pings), 1, "the arguments of a call that was given up are kept");
    // A pipelined call goes once it is decided.
    let mut behind = vault.leaf().pipeline().ping();
    assert!(poll_once(&mut behind).is_pending());
    sender.send(()).unwrap();
    waiting.await.unwrap();
    assert_eq!(behind.await.unwrap(), 1);
}

#[test]
fn what_waits_for_a_decision_counts_as_calls_of_its_peer() {
    let never = policy::ask(|_: &CallInfo| std::future::pending());
    let there = Core::accepting(membrane(LeafClient::new(Counted::default()), never));
    let mut pair = Pair::new(Core::connecting(()), there);
    let leaf: Cap = pair.connecting().index();
    pair.settle();
    let mut calls = [0, 1].map(|_| leaf.invoke::<usize>("ping", ("x".repeat(1_000),)));
    for call in &mut calls {
        assert!(poll_once(call).is_pending());
    }
    pair.settle();
    let held = pair.accepting().report();
    assert_eq!(held.tables.running, 2);
    assert!(held.call_bytes > 2_000 && held.parked_bytes > 2_000, "{held:?}");
    drop(calls);
    pair.settle();
    let held = pair.accepting().report();
    assert_eq!((held.tables.running, held.call_bytes, held.parked_bytes), (0, 0, 0));

    // So does one that stands in the arguments of another.
    let never = policy::ask(|_: &CallInfo| std::future::pending());
    let mut peer = Endpoint::new(Core::accepting(membrane(LeafClient::new(Counted::default()), never)));
    let inner = format!(r#"["pipeline",0,["ping"],["{}"]]"#, "x".repeat(1_000));
    peer.receive(&format!(r#"["push",["pipeline",0,["ping"],[{inner}]]]"#));
    let held = peer.core().report();
    assert!(held.tables.running == 1 && held.parked_bytes > 1_000, "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_decision_takes_of_the_time_of_a_call() {
    let never = policy::ask(|_: &CallInfo| std::future::pending());
    let leaf = membrane(LeafClient::new(Counted::default()), never);
    let mut waiting = leaf.ping();
    assert!(poll_once(&mut waiting).is_pending());
    let late = leaf.ping().timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((late.kind(), late.fate()), (ErrorKind::Timeout, Fate::NotSent));
    drop(waiting);
    let late = leaf.ping().timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((late.kind(), late.fate()), (ErrorKind::Timeout, Fate::NotSent));
    // Once it is decided, it may have run.
    let world = world();
    let decided = policy::ask(|_: &CallInfo| async { Ok(()) });
    let vault = membrane(VaultClient::from_arc(world.inside), decided);
    let late = vault.wait().timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((late.kind(), late.fate()), (ErrorKind::Timeout, Fate::MayHaveRun));
}

#[tokio::test]
async fn a_policy_says_whether_later_calls_may_overtake_one_that_waits() {
    for is_ordered in [true, false] {
        let (ran, decide) = (Arc::new(Mutex::new(Vec::new())), Arc::new(tokio::sync::Notify::new()));
        let decides = decide.clone();
        let asked = policy::ask(move |call: &CallInfo| {
            let decided = (call.method() == Some("ping")).then(|| decides.clone());
            async move {
                if let Some(decided) = decided {
                    decided.notified().await;
                }
                Ok(())
            }
        });
        let asked = if is_ordered { asked } else { asked.unordered() };
        let runs = ran.clone();
        let log = policy::log(move |call: &CallInfo, _, _| runs.lock().unwrap().push(call.path()));
        let leaf = membrane(LeafClient::new(Counted::default()), asked.and(log));
        let (mut first, mut second) = (leaf.ping(), leaf.peek());
        assert!(poll_once(&mut first).is_pending());
        let overtaken = poll_once(&mut second).is_ready();
        assert_eq!(overtaken, !is_ordered);
        decide.notify_one();
        first.await.unwrap();
        if is_ordered {
            second.await.unwrap();
        }
        let order = if is_ordered { ["ping", "peek"] } else { ["peek", "ping"] };
        assert_eq!(*ran.lock().unwrap(), order);
    }
}

#[test]
fn what_follows_calls_that_were_asked_about_at_once_waits_for_all_of_their_decisions() {
    let (asked, meet) = (Arc::new(Mutex::new(Vec::new())), Barrier::new(2));
    let asks = asked.clone();
    let leaf = LeafClient::new(Counted::default());
    let leaf = membrane(
        leaf,
        policy::ask(move |call: &CallInfo| {
            let (sender, decided) = tokio::sync::oneshot::channel();
            asks.lock().unwrap().push(sender);
            if call.method() == Some("ping") {
                // Two threads ask before either has an answer.
                meet.wait();
            }
            async move { decided.await.unwrap() }
        }),
    );
    let threads = [(); 2].map(|()| {
        let leaf = leaf.clone();
        std::thread::spawn(move || {
            let mut call = leaf.ping();
            assert!(poll_once(&mut call).is_pending());
            call
        })
    });
    let mut calls = threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>();
    let mut after = leaf.peek();
    assert!(poll_once(&mut after).is_pending());
    for left in [1, 0] {
        asked.lock().unwrap().pop().unwrap().send(Ok(())).unwrap();
        calls.retain_mut(|call| poll_once(call).is_pending());
        assert_eq!(calls.len(), left);
        // Once both are decided about, the third is asked about.
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
    asked.lock().unwrap().pop().unwrap().send(Ok(())).unwrap();
    assert!(matches!(poll_once(&mut after), Poll::Ready(Ok(2))));
}

#[tokio::test]
async fn what_waits_behind_a_decision_ends_with_the_membrane() {
    let never = Membrane::new(policy::ask(|_: &CallInfo| std::future::pending()));
    let leaf = never.wrap(LeafClient::new(Counted::default()));
    let mut waiting = leaf.ping();
    assert!(poll_once(&mut waiting).is_pending());
    let mut behind = leaf.ping();
    assert!(poll_once(&mut behind).is_pending());
    never.revoke(Error::rejected("over"));
    // It needs nobody to drive the one before.
    let Poll::Ready(Err(error)) = poll_once(&mut behind) else { panic!("it waits on") };
    assert_eq!((error.message(), error.fate()), ("over", Fate::NotSent));
    let Poll::Ready(Err(error)) = poll_once(&mut leaf.ping()) else { panic!("it waits on") };
    assert_eq!((error.message(), error.fate()), ("over", Fate::NotSent));
    assert_eq!(waiting.await.unwrap_err().message(), "over");
}

#[tokio::test]
async fn a_policy_that_panics_refuses_and_goes_on() {
    struct Panics;
    impl Policy for Panics {
        fn before(&self, call: &CallInfo) -> Decision {
            match call.method() {
                Some("ping") => panic!("a faulty policy"),
                Some("peek") => Decision::wait(async { panic!("a faulty decision") }),
                _ => Decision::Pass,
            }
        }

        fn after(&self, _: &CallInfo, _: Result<(), &Error>, _: Duration) {
            panic!("a faulty listener");
        }
    }
    capnode_tests::panics::watch(|_| true);
    let pings = Arc::new(AtomicUsize::new(0));
    let leaf = membrane(LeafClient::new(Counted(pings.clone())), Panics);
    for _ in 0..2 {
        assert_eq!(leaf.ping().await.unwrap_err().kind(), ErrorKind::Refused);
        let undecided = leaf.peek().await.unwrap_err();
        assert_eq!((undecided.kind(), undecided.fate()), (ErrorKind::Refused, Fate::NotSent));
        assert_eq!(leaf.cap().keys().await.unwrap().len(), 2);
    }
    assert_eq!(pings.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn calls_are_counted_by_a_key() {
    let world = world();
    let raw = VaultClient::from_arc(world.inside.clone());
    let by_name = |call: &CallInfo| call.path();
    let refused = |error: Error| assert_eq!(error.kind(), ErrorKind::Refused);

    let once = membrane(raw.clone(), policy::calls(1, by_name));
    once.leaf().await.unwrap();
    refused(once.leaf().await.unwrap_err());
    once.function().await.unwrap();

    // A call that is refused further on, answered, given up or revoked makes room.
    let no_list = policy::authorize(|call: &CallInfo| match call.method() {
        Some("list") => Err(Error::rejected("no list")),
        _ => Ok(()),
    });
    let membrane = Membrane::new(policy::at_most(1, |_| ()).and(no_list));
    let vault = membrane.wrap(raw);
    assert_eq!(vault.list().await.unwrap_err().message(), "no list");
    vault.leaf().await.unwrap();
    let mut waiting = vault.wait();
    assert!(poll_once(&mut waiting).is_pending());
    refused(vault.leaf().await.unwrap_err());
    drop(waiting);
    vault.leaf().await.unwrap();
    // So does one that a policy has a copy of.
    struct Keeps(Mutex<Vec<CallInfo>>);
    impl Policy for Keeps {
        fn before(&self, call: &CallInfo) -> Decision {
            self.0.lock().unwrap().push(call.clone());
            Decision::Pass
        }
    }
    let one = policy::at_most(1, |_: &CallInfo| ());
    let decided = policy::ask(|_: &CallInfo| async { Ok(()) });
    let vault =
        capnode::membrane(VaultClient::from_arc(world.inside), decided.and(one).and(Keeps(Mutex::default())));
    vault.leaf().await.unwrap();
    let mut waiting = vault.wait().into_future();
    assert!(poll_once(&mut waiting).is_pending());
    refused(vault.leaf().await.unwrap_err());
    drop(waiting);
    vault.leaf().await.unwrap();
}

#[tokio::test]
async fn the_ready_policies_refuse_what_they_say() {
    let world = world();
    let vault = VaultClient::from_arc(world.inside.clone());
    let refused =
        |error: Error| assert_eq!((error.kind(), error.fate()), (ErrorKind::Refused, Fate::NotSent));

    let only = membrane(vault.clone(), policy::only(["Vault.leaf", "Leaf.ping"]));
    let leaf = only.leaf().await.unwrap();
    leaf.ping().await.unwrap();
    refused(leaf.peek().await.unwrap_err());
    refused(only.pinned().await.unwrap_err());
    refused(only.cap().keys().await.unwrap_err());
    refused(only.cap().at("pinned").at("ping").apply::<usize>(()).await.unwrap_err());
    refused(only.cap().invoke::<usize>("made up", ()).await.unwrap_err());
    refused(only.cap().put("leaf", 1).await.unwrap_err());
    leaf.cap().at("ping").read::<Func<fn() -> usize>>().await.unwrap().call().await.unwrap();
    refused(leaf.cap().at("peek").read::<Cap>().await.unwrap_err());

    let reading = membrane(vault.clone(), policy::read_only());
    let pinned = reading.pinned().await.unwrap();
    pinned.peek().await.unwrap();
    refused(pinned.ping().await.unwrap_err());
    refused(pinned.cap().at("ping").read::<Func<fn() -> usize>>().await.unwrap().call().await.unwrap_err());
    refused(reading.leaf().await.unwrap_err());

    let twice = membrane(vault.clone(), policy::calls(2, |_| ()));
    twice.leaf().await.unwrap().ping().await.unwrap();
    refused(twice.leaf().await.unwrap_err());

    let panics = membrane(vault.clone(), policy::authorize(|_| panic!("a faulty policy")));
    refused(panics.leaf().await.unwrap_err());

    let both = policy::authorize(|call| {
        if call.arguments()?.is_empty() { Ok(()) } else { Err(Error::rejected("no arguments, please")) }
    });
    let both = membrane(vault, both.and(policy::calls(1, |_| ())));
    assert_eq!(both.tell(world.raw.clone()).await.unwrap_err().message(), "no arguments, please");
    assert_eq!(both.echo(vec![1].into()).await.unwrap_err().message(), "no arguments, please");
    both.leaf().await.unwrap();
    refused(both.leaf().await.unwrap_err());
}

/// A key that makes a call while it is hashed.
#[derive(Clone)]
struct Calling(Arc<Mutex<Option<LeafClient>>>);

impl Hash for Calling {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let leaf = self.0.lock().unwrap().take();
        if let Some(leaf) = leaf {
            assert!(poll_once(&mut leaf.peek()).is_ready());
        }
        1.hash(state);
    }
}

impl PartialEq for Calling {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Calling {}

#[test]
fn a_key_is_hashed_while_no_lock_is_held() {
    let key = Calling(Arc::default());
    let by_key = || {
        let key = key.clone();
        move |_: &CallInfo| key.clone()
    };
    let hour = Duration::from_secs(3_600);
    for guard in [policy::calls(2, by_key()), policy::at_most(2, by_key()), policy::rate(2, hour, by_key())] {
        let leaf = membrane(LeafClient::new(Counted::default()), guard);
        *key.0.lock().unwrap() = Some(leaf.clone());
        assert!(matches!(poll_once(&mut leaf.ping()), Poll::Ready(Ok(1))));
    }
}

#[tokio::test(start_paused = true)]
async fn time_and_rate_are_those_of_the_runtime() {
    let leaf = LeafClient::new(Counted::default());
    let period = Duration::from_secs(1);
    let rated = membrane(leaf.clone(), policy::rate(2, period, |call: &CallInfo| call.path()));
    rated.ping().await.unwrap();
    rated.ping().await.unwrap();
    rated.ping().await.unwrap_err();
    rated.peek().await.unwrap();
    tokio::time::advance(period).await;
    rated.ping().await.unwrap();

    let expiring = membrane(leaf, policy::expires(period));
    expiring.ping().await.unwrap();
    tokio::time::advance(period).await;
    expiring.ping().await.unwrap_err();
}

#[tokio::test]
async fn outcomes_are_told_with_their_time() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let log = policy::log(move |call: &CallInfo, outcome: Result<(), &Error>, _| {
        tells.lock().unwrap().push((call.path(), outcome.is_ok()));
    });
    let world = world();
    let vault = membrane(VaultClient::from_arc(world.inside.clone()), log);
    vault.leaf().await.unwrap().ping().await.unwrap();
    vault.cap().invoke::<()>("nothing", ()).await.unwrap_err();
    let expected = [("leaf", true), ("ping", true), ("nothing", false)];
    assert_eq!(*told.lock().unwrap(), expected.map(|(path, is_ok)| (path.to_owned(), is_ok)));
}

#[tokio::test]
async fn a_membrane_inside_another_asks_both() {
    let leaf = LeafClient::new(Counted::default());
    let (inner, outer) = (Arc::new(Noting::default()), Arc::new(Noting::default()));
    let twice = membrane(membrane(leaf.clone(), inner.clone()), outer.clone());
    twice.ping().await.unwrap();
    assert_eq!(inner.0.lock().unwrap().len(), 1);
    assert_eq!(outer.0.lock().unwrap().len(), 1);
    assert_ne!(twice, leaf);
    let (lent, membrane) = revocable(twice);
    assert!(lent.ping().await.is_ok());
    membrane.revoke(Error::rejected("over"));
    assert!(membrane.is_revoked());
    assert_eq!(lent.ping().await.unwrap_err().message(), "over");
}
