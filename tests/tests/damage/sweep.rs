//! All damages of all messages that one side gets.

use std::collections::BTreeMap;

use capnode::{Connection, Dialect, Node, Value};
use capnode_tests::panics;
use capnode_tests::recordings::{self, Line, Side, programs::PlayState, script};

use crate::mutation::harms;
use crate::offers;
use crate::play::{End, Play};
use crate::scenario::{Learner, Message, Piece, Scenario, Step, scenarios};

/// The number of damaged messages without visible effect that one session takes before it goes on.
const BATCH: usize = 64;

/// The number of failures that are shown.
const SHOWN: usize = 20;

#[derive(Default)]
struct Tally {
    ends: BTreeMap<End, usize>,
    failed: Vec<String>,
}

impl Tally {
    fn cases(&self) -> usize {
        self.ends.values().sum()
    }
}

pub fn sweep(dialect: Dialect, side: Side) {
    let start = std::time::Instant::now();
    let about = format!("{dialect:?} {side:?}");
    let (mut tally, mut messages, mut answered, mut asked) = (Tally::default(), 0, 0, 0);
    let all = scenarios(dialect, side);
    assert!(!all.is_empty(), "there are no recordings");
    let recordings = all.len();
    script::run(async {
        for mut scenario in all {
            panics::begin(format_args!("{about}, {}", scenario.name));
            learn(&mut scenario).await;
            let (whole, there, calls) = undamaged(&scenario).await;
            answered += there;
            asked += calls;
            let before = tally.cases();
            for (at, message) in scenario.messages() {
                messages += 1;
                damage(&scenario, at, message, whole, &about, &mut tally).await;
            }
            assert!(tally.cases() > before, "nothing was damaged of {}", scenario.name);
        }
    });
    println!(
        "{about}: {} cases of {messages} messages in {recordings} recordings, {:?}; undamaged, {answered} of {asked} calls are answered",
        tally.cases(),
        start.elapsed()
    );
    for (end, count) in &tally.ends {
        println!("  {count:>7} {end:?}");
    }
    let panics = panics::of(&about);
    let failed = &tally.failed;
    assert!(
        failed.is_empty() && panics.is_empty(),
        "{} failures:\n{}\n{} panics:\n{}",
        failed.len(),
        failed.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n"),
        panics.len(),
        panics.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n"),
    );
}

/// Where the objects of a recording come from.
struct Source<'a> {
    scenario: &'a Scenario,
    /// A peer that some of the objects ask for answers.
    peer: Connection,
}

impl<'a> Source<'a> {
    async fn new(scenario: &'a Scenario) -> Self {
        let (here, there) = capnode::transport::pair();
        let _nobody = Node::empty().serve(there).await.expect("a connection");
        let peer = Node::empty().connect_over(here).await.expect("a connection");
        Self { scenario, peer }
    }

    /// New objects, and a session that has come so far.
    async fn until(&self, at: usize) -> Session<'a> {
        let world = offers::world();
        world.connected(&self.peer);
        let index = self.scenario.offer.index(&world);
        let mut play = Play::new(self.scenario, &index);
        play.pump();
        for step in &self.scenario.steps[..at] {
            play.step(step).await;
        }
        Session { play, index, world }
    }
}

struct Session<'a> {
    play: Play<'a>,
    /// The objects, and what they have in common.
    index: Value,
    world: PlayState,
}

impl Session<'_> {
    /// Ends the session, and checks that another session of its objects goes well.
    fn end(mut self, scenario: &Scenario) -> Result<End, String> {
        let end = self.play.probe()?;
        self.play.finish()?;
        let mut other = Play::new(scenario, &self.index);
        other.pump();
        let well = other.probe().and_then(|end| other.finish().map(|()| end));
        match well {
            Ok(End::GoesOn | End::Refuses) => {}
            other => return Err(format!("another session: {other:?}")),
        }
        drop(self.world);
        Ok(end)
    }
}

/// Maps the ids of the recorded side to those of the side under test, and finds the messages whose answer takes a
/// while.
async fn learn(scenario: &mut Scenario) {
    let name = scenario.name.split(',').next().unwrap_or_default();
    let lines = recordings::read(scenario.dialect, name).lines;
    let ours = lines.iter().filter_map(|line| match line {
        Line::Frame { from, text } if *from == scenario.side => recordings::parse(text).ok(),
        _ => None,
    });
    let mut learner = Learner::new(ours);
    let mut learnt = Vec::new();
    let source = Source::new(scenario).await;
    let Session { mut play, world, .. } = source.until(0).await;
    for step in &scenario.steps {
        let Step::Send(message) = step else {
            play.step(step).await;
            continue;
        };
        learner.look(scenario.dialect, &play.sent);
        let pieces = match scenario.dialect {
            Dialect::CapnWeb => vec![Piece::Text(message.text.clone())],
            dialect => learner.pieces(dialect, &message.text, &play.sent),
        };
        let text = play.render(&pieces);
        play.receive(&text);
        let before = play.sent.len();
        play.wait().await;
        learnt.push((pieces, play.sent.len() > before));
        play.note(message);
    }
    drop((play, world, source));
    let messages = scenario.steps.iter_mut().filter_map(|step| match step {
        Step::Send(message) => Some(message),
        Step::Make(_) => None,
    });
    for (message, (pieces, waits)) in messages.zip(learnt) {
        (message.pieces, message.waits) = (pieces, waits);
    }
}

/// Plays an undamaged recording. Returns its end, the number of its answered calls, and the number of calls that it was
/// to make.
async fn undamaged(scenario: &Scenario) -> (End, usize, usize) {
    let session = Source::new(scenario).await.until(scenario.steps.len()).await;
    let answered = session.play.answered();
    let end = session.end(scenario);
    let end = end.unwrap_or_else(|error| panic!("{} as it is: {error}", scenario.name));
    (end, answered, scenario.steps.iter().filter(|step| matches!(step, Step::Make(_))).count())
}

/// Damages one message in every way.
async fn damage(
    scenario: &Scenario,
    at: usize,
    message: &Message,
    whole: End,
    about: &str,
    tally: &mut Tally,
) {
    let source = Source::new(scenario).await;
    let mut text = String::new();
    let mut varies = Vec::new();
    let play = source.until(at).await.play;
    for piece in &message.pieces {
        let part = play.render(std::slice::from_ref(piece));
        varies.resize(varies.len() + part.len(), matches!(piece, Piece::Id(..)));
        text.push_str(&part);
    }
    drop(play);
    let mut open = None;
    let mut batch = Vec::new();
    let all = harms(text.as_bytes(), |at| varies[at]);
    let count = all.len();
    for (number, (harm, place)) in all.into_iter().enumerate() {
        panics::begin(format_args!("{about}, {}, step {at}, byte {place} {harm:?}", scenario.name));
        let mut session = match open.take() {
            Some(session) => session,
            None => source.until(at).await,
        };
        let play = &mut session.play;
        let before = play.trace();
        play.receive(&harm.of(place, &play.render(&message.pieces)));
        batch.push((harm, place));
        let is_last = number + 1 == count || batch.len() == BATCH;
        if play.trace() == before && !is_last {
            open = Some(session);
            continue;
        }
        let outcome = rest(session, scenario, at, message, whole).await;
        let alone = batch.len() == 1;
        for (harm, place) in batch.drain(..) {
            // Which of them it was.
            let outcome = match &outcome {
                Err(_) if !alone => {
                    let mut session = source.until(at).await;
                    let play = &mut session.play;
                    play.receive(&harm.of(place, &play.render(&message.pieces)));
                    rest(session, scenario, at, message, whole).await
                }
                outcome => outcome.clone(),
            };
            match outcome {
                Ok(end) => *tally.ends.entry(end).or_default() += 1,
                Err(error) => {
                    let text = harm.of(place, &text);
                    tally
                        .failed
                        .push(format!("{}, step {at}, {harm:?} {place}: {error}, by {text}", scenario.name));
                }
            }
        }
        if let (Err(error), false) = (outcome, alone) {
            tally.failed.push(format!("{}, step {at}, after several: {error}", scenario.name));
        }
    }
}

/// Plays the steps after a damaged message, and returns the end of the session.
async fn rest(
    mut session: Session<'_>,
    scenario: &Scenario,
    at: usize,
    message: &Message,
    whole: End,
) -> Result<End, String> {
    let play = &mut session.play;
    if message.waits {
        play.wait().await;
    }
    play.note(message);
    for step in &scenario.steps[at + 1..] {
        if play.is_closed() {
            break;
        }
        play.step(step).await;
    }
    match session.end(scenario)? {
        End::Refuses if whole != End::Refuses => Err("the honest call is refused".to_owned()),
        end => Ok(end),
    }
}
