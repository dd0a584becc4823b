//! The scenarios themselves.

use super::*;
use capnode::Dialect::{CapnWeb, Capnode, Q};

const ALL: &[Dialect] = &[CapnWeb, Capnode, Q];

fn scenario(name: &'static str, languages: &'static [Dialect], play: fn(&mut Stage)) -> Scenario {
    Scenario { name, languages, waits_here: false, limits: Limits::default(), play }
}

/// All of them.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let waiting = |name, play| Scenario { waits_here: true, ..scenario(name, ALL, play) };
    let parked = limits(|limits| limits.running_calls = 1);
    let full = limits(|limits| limits.unwritten_bytes_soft = 300);
    vec![
        scenario("a call", ALL, a_call),
        scenario("a call that fails", ALL, a_call_that_fails),
        scenario("a slow call overtaken", ALL, a_slow_call_overtaken),
        scenario("a callback", ALL, a_callback),
        scenario("a callback in a callback", ALL, a_callback_in_a_callback),
        scenario("a kept callback", ALL, a_kept_callback),
        waiting("a pipelined chain", a_pipelined_chain),
        waiting("calls on a late result", calls_on_a_late_result),
        waiting("a result not there yet as an argument", a_late_result_as_an_argument),
        scenario("a promise as an argument", ALL, a_promise_as_an_argument),
        scenario("home again", ALL, home_again),
        scenario("cancellation", ALL, cancellation),
        scenario("a release crosses a second lending", ALL, a_release_crosses_a_second_lending),
        Scenario { limits: parked, ..scenario("parked calls", ALL, parked_calls) },
        Scenario { limits: full, ..scenario("too much to write", ALL, too_much_to_write) },
        scenario("watched progress", ALL, watched_progress),
        scenario("sent and forgotten", ALL, sent_and_forgotten),
        scenario("the index asked for", ALL, the_index_asked_for),
        scenario("many at once", ALL, many_at_once),
    ]
}

fn a_call(stage: &mut Stage) {
    let actor = stage.index();
    stage.begin(7701, actor.say(7701));
    stage.go();
    stage.begin(7702, actor.say(7702));
}

fn a_call_that_fails(stage: &mut Stage) {
    let actor = stage.index();
    stage.begin(7701, async_failed(actor.fail(7701)));
    // In WebAssembly a panic ends the program.
    if !cfg!(target_family = "wasm") {
        stage.begin(7702, actor.panic(7702));
    }
    stage.begin(7703, actor.cap().invoke::<u32>("missing", (7703,)));
}

async fn async_failed(call: capnode::Call<u32, capnode::CallError<Error>>) -> Result<u32, Error> {
    call.await.map_err(|error| match error {
        capnode::CallError::Returned(error) | capnode::CallError::Failed(error) => error,
    })
}

fn a_slow_call_overtaken(stage: &mut Stage) {
    let actor = stage.index();
    stage.begin(7701, actor.wait(7701));
    stage.begin(7702, actor.say(7702));
    stage.go();
    stage.open();
}

fn a_callback(stage: &mut Stage) {
    let actor = stage.index();
    let function = stage.function();
    stage.begin(7701, actor.call(function, 7701));
}

fn a_callback_in_a_callback(stage: &mut Stage) {
    let actor = stage.index();
    let nested = Func::new(|inner: Func<fn(u32) -> u32>| async move { inner.call(7790).await.unwrap_or(0) });
    stage.begin(7701, actor.nest(nested, 7701));
}

fn a_kept_callback(stage: &mut Stage) {
    let actor = stage.index();
    let function = stage.function();
    stage.begin(7701, actor.keep(function, 7701));
    stage.go();
    let kept = lock(&stage.kept).take();
    if let Some(kept) = kept {
        stage.watch("a callback", kept.cap());
        stage.begin_at(Side::Accepting, 7702, kept.call(7702));
        stage.go();
        stage.begin_at(Side::Accepting, 7703, kept.call(7703));
        drop(kept);
    }
    stage.go();
}

fn a_pipelined_chain(stage: &mut Stage) {
    let actor = stage.index();
    let second = actor.make(7701).pipeline().make(7702).pipeline();
    stage.begin(7703, second.say(7703));
    stage.begin(7704, second.say(7704));
}

fn calls_on_a_late_result(stage: &mut Stage) {
    let actor = stage.index();
    let late = actor.make_late(7701).pipeline();
    stage.watch("a late result", late.cap());
    stage.begin(7702, late.say(7702));
    stage.go();
    stage.begin(7703, late.say(7703));
    stage.open();
    stage.begin(7704, late.say(7704));
}

fn a_late_result_as_an_argument(stage: &mut Stage) {
    let actor = stage.index();
    let late = actor.make_late(7701).pipeline();
    stage.begin(7702, actor.say_on(late, 7702));
    stage.go();
    stage.open();
}

fn a_promise_as_an_argument(stage: &mut Stage) {
    let actor = stage.index();
    let (promised, resolver) = ActorClient::promise();
    stage.begin(7701, actor.say_on(promised, 7701));
    stage.go();
    resolver.resolve(stage.own());
}

fn home_again(stage: &mut Stage) {
    let actor = stage.index();
    let own = stage.own();
    let same = own.clone();
    let home = stage.dialect == CapnWeb;
    stage.begin(7701, async move {
        let back = actor.back(own.clone(), 7701).await?;
        Ok(back.len() == 1 && (back[0] == own) == home)
    });
    stage.go();
    stage.begin(7702, same.say(7702));
}

fn cancellation(stage: &mut Stage) {
    let actor = stage.index();
    let function = stage.function();
    stage.begin(7701, actor.wait(7701));
    stage.begin(7702, actor.call(function, 7702));
    stage.begin(7703, actor.make_late(7703));
    stage.go();
    stage.give_up(7701);
    stage.give_up(7702);
    stage.give_up(7703);
    stage.go();
    stage.open();
    stage.begin(7704, actor.say(7704));
}

fn a_release_crosses_a_second_lending(stage: &mut Stage) {
    let actor = stage.index();
    let first = stage.fetch(7701, actor.same(7701));
    stage.go();
    let again = stage.fetch(7702, actor.same(7702));
    // The answer that lends it again is on its way.
    stage.deliver(Side::Accepting);
    let first = lock(&first).take();
    drop(first);
    stage.go();
    let again = lock(&again).take();
    if let Some(again) = again {
        stage.watch("what was lent again", again.cap());
        stage.begin(7703, again.say(7703));
    }
}

fn parked_calls(stage: &mut Stage) {
    let actor = stage.index();
    let function = stage.function();
    stage.begin(7701, actor.wait(7701));
    stage.begin(7702, actor.wait(7702));
    stage.begin(7703, actor.call(function, 7703));
    stage.begin(7704, actor.say(7704));
    stage.go();
    stage.give_up(7703);
    stage.go();
    for _ in 0..4 {
        stage.open();
    }
}

fn too_much_to_write(stage: &mut Stage) {
    let actor = stage.index();
    for number in 7701..7706 {
        stage.begin(number, actor.long("x".repeat(250), number));
    }
}

fn watched_progress(stage: &mut Stage) {
    let actor = stage.index();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    stage.begin(7701, actor.steps(7701).on_progress(move |step: u32| lock(&sees).push(step)));
    stage.go();
    for _ in 0..3 {
        stage.open();
    }
    let seen = lock(&seen).clone();
    let all = if stage.dialect == Q { vec![0, 1, 2] } else { Vec::new() };
    assert!(all.starts_with(&seen), "{seen:?}");
    assert!(stage.cut.is_some() || all == seen, "{seen:?}");
}

fn sent_and_forgotten(stage: &mut Stage) {
    let actor = stage.index();
    // A promise for the index would need a runtime to pass on calls that are not awaited.
    stage.go();
    for number in 7701..7704 {
        // Sending fails where the session has ended; otherwise the outcome is not awaited.
        let sent = actor.wait(number).send();
        assert!(sent.is_ok() || stage.pair.connecting().closed().is_some() || stage.cut.is_some());
    }
    stage.go();
    stage.open();
}

fn the_index_asked_for(stage: &mut Stage) {
    let actor = stage.index();
    stage.go();
    stage.begin(9000, async move { actor.cap().read::<ActorClient>().await.map(|_| "a reference") });
    stage.go();
    let again = stage.index();
    stage.begin(7701, again.say(7701));
}

fn many_at_once(stage: &mut Stage) {
    let actor = stage.index();
    for number in 7701..7708 {
        let function = stage.function();
        stage.begin(number, actor.call(function, number));
        stage.begin(number + 20, actor.say(number + 20));
    }
}
