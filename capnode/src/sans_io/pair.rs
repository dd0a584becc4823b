//! Two cores that talk to each other, without a wire.

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::endpoint::WakeFlag;
use super::{Core, Endpoint, Side};

/// Two cores that are connected to each other. Nothing happens until [`step`](Pair::step), [`settle`](Pair::settle) or
/// [`run`](Pair::run) is called: a test or simulation decides when frames arrive and handlers go on.
///
/// ```
/// use capnode::Func;
/// use capnode::sans_io::{Core, Pair};
///
/// #[capnode::interface]
/// trait Adder {
///     async fn add(&self, a: u32, b: u32) -> u32;
///     async fn apply(&self, to: u32, function: Func<fn(u32) -> u32>) -> u32;
/// }
///
/// struct Sum;
///
/// impl Adder for Sum {
///     async fn add(&self, a: u32, b: u32) -> u32 {
///         a + b
///     }
///     async fn apply(&self, to: u32, function: Func<fn(u32) -> u32>) -> u32 {
///         function.call(to).await.unwrap_or_default()
///     }
/// }
///
/// let mut pair = Pair::new(Core::connecting(()), Core::accepting(AdderClient::new(Sum)));
/// let adder: AdderClient = pair.connecting().index();
/// let sum = pair.run(adder.add(1, 2)).expect("it is answered");
/// assert_eq!(sum.unwrap(), 3);
/// let doubled = pair.run(adder.apply(4, |n: u32| async move { 2 * n })).expect("it is answered");
/// assert_eq!(doubled.unwrap(), 8);
///
/// drop(adder);
/// pair.settle();
/// assert_eq!(pair.accepting().tables().exports, 0);
/// ```
pub struct Pair {
    /// The connecting end, then the accepting one.
    ends: [Endpoint; 2],
    /// Frames on their way to each.
    in_flight: [VecDeque<String>; 2],
    /// Frames that each has sent, if they are recorded.
    recorded: Option<[Vec<String>; 2]>,
}

impl Pair {
    /// Connects two cores.
    pub fn new(connecting: Core, accepting: Core) -> Self {
        let ends = [Endpoint::new(connecting), Endpoint::new(accepting)];
        Self { ends, in_flight: Default::default(), recorded: None }
    }

    /// Returns the core that opens the connection.
    pub fn connecting(&self) -> &Core {
        self.core(Side::Connecting)
    }

    /// Returns the accepting core.
    pub fn accepting(&self) -> &Core {
        self.core(Side::Accepting)
    }

    /// Returns the core of one side.
    pub fn core(&self, side: Side) -> &Core {
        self.ends[side as usize].core()
    }

    /// Returns the number of handlers of both sides that have not ended.
    pub fn handlers(&self) -> usize {
        self.ends.iter().map(Endpoint::handlers).sum()
    }

    /// Records each frame from now on, and forgets earlier records.
    pub fn record(&mut self) {
        self.transmit();
        self.recorded = Some(Default::default());
    }

    /// Returns the frames that a side has sent since [`record`](Pair::record).
    pub fn recorded(&mut self, side: Side) -> &[String] {
        self.transmit();
        self.recorded.as_ref().map_or(&[], |recorded| &recorded[side as usize])
    }

    /// Returns the frames on their way to a side, which a test may look at, change, add to or lose.
    pub fn in_flight(&mut self, to: Side) -> &mut VecDeque<String> {
        self.transmit();
        &mut self.in_flight[to as usize]
    }

    /// Moves the cores' output to the wire.
    fn transmit(&mut self) {
        for (from, end) in self.ends.iter().enumerate() {
            while let Some(frame) = end.core().next_frame() {
                if let Some(recorded) = &mut self.recorded {
                    recorded[from].push(frame.clone());
                }
                self.in_flight[1 - from].push_back(frame);
            }
        }
    }

    /// Delivers one frame. Returns `false` if there was none.
    pub fn deliver(&mut self, to: Side) -> bool {
        let frame = self.in_flight(to).pop_front();
        if let Some(frame) = &frame {
            self.core(to).receive(frame);
        }
        frame.is_some()
    }

    /// Polls once each handler of a side that is ready to go on. Returns `true` if there was one.
    pub fn poll_handlers(&mut self, side: Side) -> bool {
        self.ends[side as usize].poll_handlers()
    }

    /// Delivers the frames that wait on either side, and polls once each handler that is ready to go on. Returns `true` if
    /// there was anything to do.
    pub fn step(&mut self) -> bool {
        let mut moved = false;
        for to in [Side::Accepting, Side::Connecting] {
            while self.deliver(to) {
                moved = true;
            }
        }
        moved | self.poll_handlers(Side::Connecting) | self.poll_handlers(Side::Accepting)
    }

    /// Steps until there is nothing left to do. Does not return while two handlers call each other without end.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    /// Polls `future` and steps until it is ready. Returns its outcome, or `None` if it is pending and there is nothing
    /// left to do.
    pub fn run<F: IntoFuture>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future.into_future());
        let woken = WakeFlag::new();
        let waker = Waker::from(woken.clone());
        loop {
            if woken.take() {
                if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(outcome);
                }
            }
            if !self.step() && !woken.is_set() {
                return None;
            }
        }
    }
}

crate::opaque::opaque!(Pair as pair { ends: pair.ends });

#[cfg(test)]
mod tests {
    use crate::sans_io::{Core, Pair, Side};
    use crate::{Cap, Dialect, Func, Object, Value};

    #[test]
    fn a_call_and_its_callback_move_in_each_language() {
        for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
            let ask =
                Func::<fn(Func<fn(u32) -> u32>) -> u32>::new(|inner: Func<fn(u32) -> u32>| async move {
                    inner.call(20).await.unwrap_or_default() + 1
                });
            let index = Object::new().with("ask", ask);
            let mut pair = Pair::new(Core::builder().dialect(dialect).connecting(()), Core::accepting(index));
            let double = Func::<fn(u32) -> u32>::new(|n: u32| async move { 2 * n });
            let peer = pair.connecting().index::<Cap>();
            let sum = pair.run(peer.invoke::<u32>("ask", (double,))).expect("it is answered");
            assert_eq!(sum.unwrap(), 41, "{dialect:?}");
            assert_eq!(pair.handlers(), 0, "{dialect:?}");
        }
    }

    #[test]
    fn a_test_may_lose_a_frame_and_add_one() {
        let note = Func::<fn(u32) -> u32>::new(|n: u32| async move { n });
        let mut pair = Pair::new(Core::connecting(()), Core::accepting(Object::new().with("note", note)));
        pair.settle();
        pair.record();
        let peer = pair.connecting().index::<Cap>();
        peer.invoke::<u32>("note", (1,)).send().unwrap();
        assert_eq!(pair.recorded(Side::Connecting), [r#"["stream",["pipeline",0,["note"],[1]]]"#]);
        pair.in_flight(Side::Accepting).clear();
        assert!(!pair.deliver(Side::Accepting));
        pair.in_flight(Side::Accepting).push_back(r#"["stream",["pipeline",0,["note"],[2]]]"#.to_owned());
        assert!(pair.deliver(Side::Accepting));
        assert_eq!(pair.recorded(Side::Accepting), [r#"["resolve",1,2]"#]);
    }

    #[test]
    fn a_call_that_cannot_go_on_is_reported_and_cancelled() {
        let wait = Func::<fn()>::new(std::future::pending::<()>);
        let mut pair = Pair::new(Core::connecting(()), Core::accepting(Object::new().with("wait", wait)));
        let peer = pair.connecting().index::<Cap>();
        assert!(pair.run(peer.invoke::<Value>("wait", ())).is_none());
        pair.settle();
        assert_eq!(pair.handlers(), 0, "the call that was dropped is cancelled");
        assert!(!pair.step());
    }
}
