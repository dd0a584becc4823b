//! One session with a hostile peer, over a core that is moved by hand.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use capnode::sans_io::{Core, Endpoint};
use capnode::{Call, CallInfo, Cap, Dialect, Error, Func, Value, membrane, policy, revocable};
use tokio::runtime::Runtime;

use super::Speaker;
use crate::lab::{Alive, Gives, Laboratory, MEMBERS, Rng};

/// The number of polls after which everything must be at rest.
const ROUNDS: usize = 2_000;

/// The time in which threads of blocking methods must end.
const PATIENCE: Duration = Duration::from_secs(2);

/// A generated session: all steps of its seed, or a part of them.
#[derive(Clone, Debug)]
pub struct Session {
    /// The seed that everything follows from.
    pub seed: u64,
    /// The language.
    pub dialect: Dialect,
    /// `true` if the hostile peer is the one that is connected to.
    pub server: bool,
    /// The numbers of the steps that are taken.
    pub steps: Vec<u64>,
}

/// The observations of a session.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Frames of the hostile peer.
    pub said: Vec<String>,
    /// The number of frames that it has got.
    pub heard: usize,
    /// `true` if a frame of the peer ended the session.
    pub ended: bool,
    /// The fault that was found, if any.
    pub fault: Option<String>,
}

impl Session {
    /// The session of a seed, in one of the languages and roles.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let dialect = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q][rng.below(3)];
        let steps = 5 + rng.below(40) as u64;
        Self { seed, dialect, server: rng.chance(40), steps: (0..steps).collect() }
    }

    /// Plays it, and returns the observations.
    pub fn play(&self, runtime: &Runtime) -> Seen {
        let mut seen = Seen::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _entered = runtime.enter();
            self.play_with(runtime, &mut seen)
        }));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => seen.fault = Some(fault),
            Err(_) => seen.fault = Some("a panic left the library".to_owned()),
        }
        seen
    }

    fn play_with(&self, runtime: &Runtime, seen: &mut Seen) -> Result<(), String> {
        let alive = Alive::default();
        let lab = Laboratory::client(&alive);
        // Every other victim stands behind a membrane, every fourth behind one that takes its time.
        let lab = match self.seed % 4 {
            1 => revocable(lab).0,
            3 => membrane(lab, policy::ask(|_: &CallInfo| decided())),
            _ => lab,
        };
        let core = if self.server {
            Core::builder().dialect(self.dialect).connecting(lab)
        } else {
            Core::accepting(lab)
        };
        let mut victim =
            Victim { end: Endpoint::new(core), calls: Vec::new(), held: Vec::new(), alive: alive.clone() };
        let mut speaker = Speaker::new(self.dialect);
        if self.dialect == Dialect::CapnWeb && self.seed % 8 < 4 {
            // It says that it is of this library.
            victim.end.core().receive(r#"["release",0,0]"#);
        }
        for step in &self.steps {
            let mut rng = Rng::for_part(self.seed, *step);
            match rng.below(100) {
                0..72 => {
                    let frame = speaker.say(&mut rng);
                    victim.end.core().receive(&frame);
                    seen.said.push(frame);
                }
                72..80 => {
                    victim.poll();
                    runtime.block_on(tokio::task::yield_now());
                }
                _ => victim.act(&mut rng),
            }
            while let Some(frame) = victim.end.core().next_frame() {
                speaker.hear(&frame);
                seen.heard += 1;
            }
        }
        seen.ended = victim.end.core().closed().is_some();
        victim.end(runtime)
    }
}

/// Passes a call once it has been polled twice.
async fn decided() -> Result<(), Error> {
    tokio::task::yield_now().await;
    Ok(())
}

/// The program that a hostile peer talks to.
struct Victim {
    end: Endpoint,
    calls: Vec<PendingCall>,
    held: Vec<Cap>,
    alive: Alive,
}

/// A call that has no outcome yet.
struct PendingCall {
    what: String,
    target: Cap,
    call: Call<Value>,
}

impl PendingCall {
    /// Returns `true` if the end of the session has to end it. Anything but an import may be an object or a promise of this
    /// program, which may take its time.
    fn is_remote(&self) -> bool {
        format!("{:?}", self.target).starts_with("Cap(import")
    }
}

fn references(value: &Value, held: &mut Vec<Cap>) {
    match value {
        Value::Cap(cap) => held.push(cap.clone()),
        Value::Array(values) => values.iter().for_each(|value| references(value, held)),
        Value::Object(members) => members.iter().for_each(|(_, value)| references(value, held)),
        _ => {}
    }
}

impl Victim {
    /// Polls everything once. Returns `true` if a handler went on or a call ended.
    fn poll(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let moved = self.end.poll_handlers();
        let before = self.calls.len();
        let held = &mut self.held;
        self.calls.retain_mut(|made| match Pin::new(&mut made.call).poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                if let Ok(value) = outcome {
                    references(&value, held);
                }
                false
            }
        });
        moved || self.calls.len() < before
    }

    /// Does what an honest program might.
    fn act(&mut self, rng: &mut Rng) {
        let target = match rng.pick(&self.held) {
            Some(held) if rng.chance(60) => held.clone(),
            _ => self.end.core().index::<Cap>(),
        };
        let member = MEMBERS[rng.below(MEMBERS.len())];
        let number = rng.below(9) as u32;
        let double = Func::<fn(u32) -> u32>::new(|n: u32| async move { n.wrapping_mul(2) });
        let way = rng.below(10);
        let call: Call<Value> = match way {
            0 => target.get(member.name),
            1 => target.at(member.name).get("name"),
            2 => target.read(),
            3 => target.invoke(member.name, (number, double)),
            4 => target.invoke(member.name, (Laboratory::client(&self.alive), number)),
            5 => target.apply((number,)),
            6 => target.invoke(member.name, (target.clone(), number)),
            _ => target.invoke(member.name, (number, number)),
        };
        let endless = way == 5 || member.gives == Gives::Never;
        match rng.below(10) {
            // Nothing would ever end it, if it is an object of this program that it reaches.
            0..=2 if endless => drop(call),
            0 => {
                // Unsendable values are not the point here.
                let _refused = call.send();
            }
            1 | 2 => self.held.push(call.pipeline_cap()),
            3 if !self.calls.is_empty() => drop(self.calls.swap_remove(rng.below(self.calls.len()))),
            4 if !self.held.is_empty() => drop(self.held.swap_remove(rng.below(self.held.len()))),
            _ => {
                let what = format!("{} in way {way} of {target:?}", member.name);
                self.calls.push(PendingCall { what, target, call });
            }
        }
        self.poll();
    }

    /// Ends the session. Nothing may be left of it.
    fn end(mut self, runtime: &Runtime) -> Result<(), String> {
        self.end.core().close("the session is over");
        let began = Instant::now();
        let mut round = 0;
        while !(self.end.handlers() == 0 && self.calls.is_empty()) || round == 0 {
            while self.end.core().next_frame().is_some() {}
            self.poll();
            runtime.block_on(tokio::task::yield_now());
            round += 1;
            if round > ROUNDS && began.elapsed() > PATIENCE {
                let calls: Vec<_> = self.calls.iter().map(|made| &made.what).collect();
                return Err(format!("{} handlers and {calls:?} go on", self.end.handlers()));
            }
            if self.end.handlers() == 0 {
                self.calls.retain(PendingCall::is_remote);
            }
        }
        self.held.clear();
        let tables = self.end.core().tables();
        if tables.imports + tables.exports + tables.calls + tables.running > 0 {
            return Err(format!("the session leaves {tables:?}"));
        }
        let alive = self.alive.clone();
        drop(self);
        // The victim's own count is gone, and the caller's and this one are left.
        let standing = 1;
        let began = Instant::now();
        while alive.count() > standing {
            alive.forget();
            runtime.block_on(async {
                tokio::task::yield_now().await;
                if began.elapsed() > Duration::from_millis(5) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            if began.elapsed() > PATIENCE {
                return Err(format!("{} objects are left", alive.count() - standing));
            }
        }
        Ok(())
    }
}

/// As few of the steps as still go wrong. `fails` says whether some do.
pub fn shortest(steps: &[u64], mut fails: impl FnMut(&[u64]) -> bool) -> Vec<u64> {
    let mut shortest = steps.to_vec();
    let mut part = shortest.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < shortest.len() {
            let mut tried = shortest.clone();
            let end = tried.len().min(at + part);
            tried.drain(at..end);
            if fails(&tried) {
                shortest = tried;
            } else {
                at += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    shortest
}
