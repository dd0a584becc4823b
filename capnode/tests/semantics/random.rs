//! Two cores under random schedules: no call is lost or doubled, order is kept, and in the end
//! nothing is left.

use capnode::Client;
use proptest::prelude::*;

use crate::harness::*;
use capnode::Call;

/// A possible next action. Numbers choose among the existing things.
#[derive(Clone, Debug)]
enum Step {
    Note(usize),
    Send(usize),
    Make(usize),
    PipelineMake(usize),
    MakeLate(usize),
    PassBack(usize, usize),
    Callback(usize),
    Drop(usize),
    GiveUp(usize),
    Open,
    ToA(u8),
    ToB(u8),
    RunA,
    RunB,
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..100usize;
    prop_oneof![
        4 => any.clone().prop_map(Step::Note),
        4 => any.clone().prop_map(Step::Send),
        2 => any.clone().prop_map(Step::Make),
        3 => any.clone().prop_map(Step::PipelineMake),
        2 => any.clone().prop_map(Step::MakeLate),
        2 => (any.clone(), any.clone()).prop_map(|(on, what)| Step::PassBack(on, what)),
        2 => any.clone().prop_map(Step::Callback),
        3 => any.clone().prop_map(Step::Drop),
        2 => any.prop_map(Step::GiveUp),
        2 => Just(Step::Open),
        6 => (1..5u8).prop_map(Step::ToA),
        6 => (1..5u8).prop_map(Step::ToB),
        3 => Just(Step::RunA),
        3 => Just(Step::RunB),
        2 => Just(Step::Poll),
    ]
}

/// A reference, and the number that the next call on it notes.
struct Held {
    probe: ProbeClient,
    tag: u32,
    next: u32,
}

#[derive(Default)]
struct Model {
    held: Vec<Held>,
    made: Vec<Call<ProbeClient>>,
    noted: Vec<Call<u32>>,
    /// Each reference has a tag of its own: calls through it are numbered.
    tags: u32,
    expected: Vec<u32>,
    answered: usize,
}

impl Model {
    fn hold(&mut self, probe: ProbeClient) {
        self.tags += 1;
        self.held.push(Held { probe, tag: self.tags, next: 0 });
    }

    fn pick(&mut self, number: usize) -> Option<&mut Held> {
        let count = self.held.len();
        if count == 0 { None } else { self.held.get_mut(number % count) }
    }

    /// The next number to be noted through a reference.
    fn number(&mut self, pick: usize) -> Option<(ProbeClient, u32)> {
        let held = self.pick(pick)?;
        let number = held.tag * 1_000 + held.next;
        held.next += 1;
        let probe = held.probe.clone();
        self.expected.push(number);
        Some((probe, number))
    }

    fn poll_all(&mut self) {
        let mut arrived = Vec::new();
        self.made.retain_mut(|call| match poll(call) {
            Poll::Ready(probe) => {
                arrived.push(probe.expect("the call succeeds"));
                false
            }
            Poll::Pending => true,
        });
        for probe in arrived {
            self.hold(probe);
        }
        let answered = &mut self.answered;
        self.noted.retain_mut(|call| match poll(call) {
            Poll::Ready(number) => {
                number.expect("the call succeeds");
                *answered += 1;
                false
            }
            Poll::Pending => true,
        });
    }

    fn take(&mut self, step: Step, pair: &mut Pair, log: &Log) {
        match step {
            Step::Note(pick) => {
                if let Some((probe, number)) = self.number(pick) {
                    let mut call = probe.note(number);
                    if poll(&mut call).is_pending() {
                        self.noted.push(call);
                    } else {
                        self.answered += 1;
                    }
                }
            }
            Step::Send(pick) => {
                if let Some((probe, number)) = self.number(pick) {
                    probe.note(number).send().expect("there is room");
                }
            }
            Step::Make(pick) | Step::MakeLate(pick) => {
                let late = matches!(step, Step::MakeLate(_));
                if let Some(held) = self.pick(pick) {
                    let mut call = if late { held.probe.make_late() } else { held.probe.make() };
                    match poll(&mut call) {
                        Poll::Pending => self.made.push(call),
                        Poll::Ready(probe) => self.hold(probe.expect("the call succeeds")),
                    }
                }
            }
            Step::PipelineMake(pick) => {
                if let Some(held) = self.pick(pick) {
                    // A call on an object of this side needs a runtime to run by itself; it is awaited elsewhere.
                    if held.probe.cap().local::<Noting>().is_none() {
                        let probe = held.probe.make_late().pipeline();
                        self.hold(probe);
                    }
                }
            }
            Step::PassBack(on, what) => {
                let what = self.pick(what).map(|held| held.probe.clone());
                if let (Some(held), Some(what)) = (self.pick(on), what) {
                    let mut call = held.probe.back(what);
                    match poll(&mut call) {
                        Poll::Pending => self.made.push(call),
                        Poll::Ready(probe) => self.hold(probe.expect("the call succeeds")),
                    }
                }
            }
            Step::Callback(pick) => {
                if let Some((probe, number)) = self.number(pick) {
                    let log = log.clone();
                    let mut call = probe.call(
                        move |number| {
                            log.push(number);
                            async move { number }
                        },
                        number,
                    );
                    // Its note is made when the callback comes back, later than others.
                    self.expected.pop();
                    if poll(&mut call).is_pending() {
                        self.noted.push(call);
                    } else {
                        self.answered += 1;
                    }
                    let _ = number;
                }
            }
            Step::Drop(pick) => {
                if !self.held.is_empty() {
                    let at = pick % self.held.len();
                    self.held.swap_remove(at);
                }
            }
            Step::GiveUp(pick) => {
                if !self.made.is_empty() {
                    let at = pick % self.made.len();
                    drop(self.made.swap_remove(at));
                }
            }
            Step::Open => log.open(),
            Step::ToA(frames) => {
                for _ in 0..frames {
                    pair.deliver(Side::Connecting);
                }
            }
            Step::ToB(frames) => {
                for _ in 0..frames {
                    pair.deliver(Side::Accepting);
                }
            }
            Step::RunA => drop(pair.poll_handlers(Side::Connecting)),
            Step::RunB => drop(pair.poll_handlers(Side::Accepting)),
            Step::Poll => self.poll_all(),
        }
    }
}

/// Two cores that never learn that the other is of this library.
fn strangers(index: ProbeClient) -> Pair {
    let connecting = Core::builder().dialect(Dialect::CapnWeb).connecting(());
    let mut pair = Pair::new(connecting, Core::accepting(index));
    assert_eq!(pair.in_flight(Side::Accepting).pop_front().as_deref(), Some(r#"["release",0,0]"#));
    pair
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_call_is_lost_or_doubled_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..120),
        marked: bool,
    ) {
        let log = Log::default();
        let mut pair = if marked { connected(log.probe()) } else { strangers(log.probe()) };
        let mut world = Model::default();
        world.hold(pair.index());
        // This side's own object among them, to be sent there and back.
        let ours = log.probe();
        world.hold(ours);
        for step in steps {
            world.take(step, &mut pair, &log);
        }
        // Let everything come to its end.
        for _ in 0..200 {
            log.open();
            pair.settle();
            world.poll_all();
        }
        prop_assert!(world.made.is_empty() && world.noted.is_empty(), "a call was never answered");

        let noted: Vec<u32> = log.take().iter().filter_map(|event| event.parse().ok()).collect();
        let mut by_tag = std::collections::HashMap::<u32, Vec<u32>>::new();
        for number in noted {
            by_tag.entry(number / 1_000).or_default().push(number);
        }
        for number in &world.expected {
            let seen = by_tag.get(&(number / 1_000)).map_or(0, |all| all.iter().filter(|seen| *seen == number).count());
            prop_assert_eq!(seen, 1, "call {} was delivered {} times", number, seen);
        }
        for (tag, numbers) in by_tag {
            let mut direct: Vec<u32> = numbers.into_iter().filter(|number| world.expected.contains(number)).collect();
            let sent = direct.clone();
            direct.sort_unstable();
            prop_assert_eq!(direct, sent, "calls through reference {} were reordered", tag);
        }

        prop_assert!(pair.connecting().closed().is_none() && pair.accepting().closed().is_none());
        drop(world);
        pair.settle();
        log.open();
        pair.settle();
        prop_assert_eq!(pair.tables(), [Tables::default(); 2]);
        prop_assert!(pair.connecting().is_idle());
        prop_assert_eq!(log.probes(), 1);
    }
}
