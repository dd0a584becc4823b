//! Random schedules: two programs call, lend, release and answer at random, and messages arrive at random. A small
//! model tells the allowed outcomes.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// The model's knowledge of a call, by the number that is its argument.
struct Sent {
    from: usize,
    target: Id,
    streamed: bool,
    pulled: bool,
    given_up: bool,
    delivered: bool,
    ended: bool,
    answers: usize,
}

/// A running call of the peer, and the running calls whose results it uses.
struct Runs {
    answer: Id,
    call: usize,
    uses: Vec<Id>,
}

struct Program {
    session: Session,
    /// The objects of this program's exports.
    objects: HashMap<Id, usize>,
    /// Imports that this program holds, once for each handle.
    handles: Vec<Id>,
    /// This program's calls, by the ids of their results.
    calls: HashMap<Id, usize>,
    running: Vec<Runs>,
    /// Results that the peer may still use.
    answers: Vec<Id>,
}

struct Model {
    programs: [Program; 2],
    /// The messages to each program.
    wires: [VecDeque<Message>; 2],
    sent: Vec<Sent>,
}

/// A step of a schedule: the kind of act, the program that does it, and numbers to choose with.
type Step = (u8, bool, u8, u8);

impl Model {
    fn new(extended: bool) -> Self {
        let program = |side| Program {
            session: Session::new(side, Limits::default()),
            objects: HashMap::new(),
            handles: vec![0],
            calls: HashMap::new(),
            running: Vec::new(),
            answers: Vec::new(),
        };
        let mut programs = [program(Side::Connecting), program(Side::Accepting)];
        if !extended {
            assert_eq!(programs[0].session.poll_message(), Some(Message::Hello));
        }
        programs.iter_mut().for_each(|program| program.session.hold(0));
        Self { programs, wires: Default::default(), sent: Vec::new() }
    }

    fn step(&mut self, (action, who, first, second): Step) {
        let who = usize::from(who);
        match action {
            0 | 1 => self.call(who, first, second),
            2 => self.pull(who, first),
            3 => self.finish(who, first, second),
            4 | 5 => self.drop_handle(who, first),
            6 => self.drop_call(who, first),
            7 => {
                if let Some(id) = choose(&self.programs[who].handles, first).copied() {
                    self.programs[who].session.hold(id);
                    self.programs[who].handles.push(id);
                }
            }
            _ => {
                self.deliver(who);
            }
        }
    }

    fn call(&mut self, who: usize, first: u8, second: u8) {
        let Some(target) = choose(&self.programs[who].handles, first).copied() else { return };
        let streamed = second % 2 == 0;
        let words = self.programs[who].words(second / 2);
        let number = self.sent.len();
        let args = Payload { text: number.to_string().into(), ..words };
        let return_mode = if streamed { ReturnMode::Streamed } else { ReturnMode::Retained };
        let program = &mut self.programs[who];
        let id = program.session.call(target, Path::Empty, Some(args), return_mode);
        program.calls.insert(id, number);
        if !streamed {
            program.handles.push(id);
        }
        let (delivered, given_up, ended) = (false, false, false);
        self.sent.push(Sent {
            from: who,
            target,
            streamed,
            pulled: streamed,
            given_up,
            delivered,
            ended,
            answers: 0,
        });
    }

    fn pull(&mut self, who: usize, first: u8) {
        let program = &mut self.programs[who];
        let results: Vec<_> = program.handles.iter().copied().filter(|id| *id > 0).collect();
        if let Some(id) = choose(&results, first) {
            program.session.pull(*id);
            self.sent[program.calls[id]].pulled = true;
        }
    }

    fn finish(&mut self, who: usize, first: u8, second: u8) {
        let program = &mut self.programs[who];
        if program.running.is_empty() {
            return;
        }
        let Runs { answer, call, .. } = program.running.remove(usize::from(first) % program.running.len());
        self.sent[call].ended = true;
        match program.session.finish(answer) {
            ReturnDisposition::Send => program.answer(answer, second),
            ReturnDisposition::Retain => {}
            ReturnDisposition::Discard => assert!(self.sent[call].given_up, "somebody wants call {call}"),
        }
        self.events(who);
    }

    fn drop_handle(&mut self, who: usize, first: u8) {
        let program = &mut self.programs[who];
        if program.handles.is_empty() {
            return;
        }
        let id = program.handles.swap_remove(usize::from(first) % program.handles.len());
        program.session.drop_import(id);
        if id > 0 && !program.handles.contains(&id) {
            self.sent[program.calls[&id]].given_up = true;
        }
    }

    fn drop_call(&mut self, who: usize, first: u8) {
        let program = &mut self.programs[who];
        let waits = |call: &usize| {
            let call = &self.sent[*call];
            call.streamed && !call.given_up && call.answers == 0
        };
        let mut waiting: Vec<_> = program.calls.iter().filter(|(_, call)| waits(call)).collect();
        waiting.sort();
        if let Some((id, call)) = choose(&waiting, first) {
            program.session.drop_call(**id);
            self.sent[**call].given_up = true;
        }
    }

    /// Delivers one message to a program.
    fn deliver(&mut self, to: usize) -> bool {
        for (from, program) in self.programs.iter_mut().enumerate() {
            self.wires[1 - from].extend(std::iter::from_fn(|| program.session.poll_message()));
        }
        let Some(message) = self.wires[to].pop_front() else { return false };
        let shown = format!("{message:?}");
        if let Err(error) = self.programs[to].session.handle(message) {
            panic!("program {to}: {shown}: {error}");
        }
        self.events(to);
        true
    }

    fn events(&mut self, who: usize) {
        while let Some(event) = self.programs[who].session.poll_event() {
            self.event(who, event);
        }
    }

    fn event(&mut self, who: usize, event: Event) {
        let program = &mut self.programs[who];
        match event {
            Event::Call {
                answer,
                expression: Expression::Call { target, args: Some(args), .. },
                refusal: None,
                ..
            } => {
                let number: usize = args.text.as_str().parse().unwrap();
                let mut uses = program.take(&args);
                program.assert_lent(target);
                uses.push(target);
                uses.retain(|id| program.running.iter().any(|runs| runs.answer == *id));
                program.running.push(Runs { answer, call: number, uses });
                let sent = &mut self.sent[number];
                if program.session.is_kept(answer) {
                    program.answers.push(answer);
                }
                assert!(!sent.delivered, "call {number} came twice");
                sent.delivered = true;
                let (from, target) = (sent.from, sent.target);
                let overtaken = |sent: &Sent| (sent.from, sent.target) == (from, target) && !sent.delivered;
                assert!(!self.sent[..number].iter().any(overtaken), "call {number} has overtaken another");
            }
            Event::Pull { answer } => program.answer(answer, answer as u8),
            Event::Cancel { answers } => answers.into_iter().for_each(|answer| {
                let at =
                    program.running.iter().position(|runs| runs.answer == answer).expect("cancelled twice");
                let cancelled = program.running.remove(at);
                program.answers.retain(|id| *id != answer);
                let sent = &mut self.sent[cancelled.call];
                sent.ended = true;
                assert!(sent.given_up && sent.pulled, "somebody wants call {}", cancelled.call);
                let used = program.running.iter().any(|runs| runs.uses.contains(&answer));
                assert!(!used, "call {} is used by another", cancelled.call);
            }),
            Event::AnswerReleased { answer } => {
                assert!(program.answers.contains(&answer));
                program.answers.retain(|id| *id != answer);
            }
            Event::ExportReleased { export } => {
                assert!(program.objects.remove(&export).is_some(), "{export} dropped twice")
            }
            Event::Answered { import, outcome: Ok(value) | Err(value) } => {
                program.take(&value);
                let sent = &mut self.sent[program.calls[&import]];
                sent.answers += 1;
                assert!(sent.pulled && sent.answers == 1, "an answer too many");
            }
            other => panic!("{other:?}"),
        }
    }

    fn settle(&mut self) {
        while self.deliver(0) || self.deliver(1) {}
    }

    /// Drops all handles, ends all running calls and delivers all messages.
    fn end(&mut self, finish_first: bool) {
        self.settle();
        if finish_first {
            self.finish_all();
            let unanswered = |sent: &Sent| sent.pulled && !sent.given_up && sent.answers == 0;
            assert!(!self.sent.iter().any(unanswered), "a call was never answered");
        }
        for who in [0, 1] {
            while !self.programs[who].handles.is_empty() {
                self.drop_handle(who, 0);
            }
            for _ in 0..self.sent.len() {
                self.drop_call(who, 0);
            }
        }
        self.settle();
        for program in &self.programs {
            for runs in &program.running {
                let sent = &self.sent[runs.call];
                let used = program.running.iter().any(|other| other.uses.contains(&runs.answer));
                assert!(used || !sent.pulled, "call {} should have been cancelled", runs.call);
            }
        }
        self.finish_all();
        for (number, sent) in self.sent.iter().enumerate() {
            assert!(sent.delivered && sent.ended, "call {number} was lost");
        }
        for program in &self.programs {
            assert!(is_empty(&program.session), "{:?}", program.session.tables());
            assert!(program.session.is_idle());
            assert!(program.objects.is_empty());
        }
    }

    fn finish_all(&mut self) {
        self.settle();
        for who in [0, 1] {
            while !self.programs[who].running.is_empty() {
                self.finish(who, 0, 0);
            }
        }
        self.settle();
        // References that came with the answers are dropped.
        for who in [0, 1] {
            self.programs[who].drop_objects();
        }
        self.settle();
    }
}

impl Program {
    /// Returns a few references, to own objects and to held ones.
    fn words(&mut self, choice: u8) -> Payload<CapDescriptor> {
        let mut words = Vec::new();
        for at in 0..choice % 4 {
            let choice = choice / 4 + at;
            let word = match choose(&self.handles, choice / 3) {
                Some(id) if choice % 3 == 0 => home(*id),
                _ => {
                    let object = usize::from(choice % 3);
                    let id = self.session.export(ObjectId(object, 0));
                    assert_eq!(*self.objects.entry(id).or_insert(object), object);
                    CapDescriptor::SenderHosted(id)
                }
            };
            words.push(Slot { start: 0, end: 0, to: word });
        }
        Payload { text: "…".to_owned().into(), refs: words.into(), nodes: ThinVec::NONE }
    }

    fn answer(&mut self, answer: Id, choice: u8) {
        let words = self.words(choice / 2);
        self.session.answer(answer, if choice % 2 == 0 { Ok(words) } else { Err(words) });
    }

    /// Takes in a value: holds some of its imports, and releases the rest. Returns the program's own exports in it.
    fn take(&mut self, value: &Payload<CapDescriptor>) -> Vec<Id> {
        let mut ours = Vec::new();
        for (at, slot) in value.refs.iter().enumerate() {
            match slot.to {
                CapDescriptor::SenderHosted(id) => {
                    self.session.hold(id);
                    if at % 2 == 0 {
                        self.handles.push(id);
                    } else {
                        self.session.drop_import(id);
                    }
                }
                CapDescriptor::ReceiverHosted(ReceiverRef { id, .. }) => {
                    self.assert_lent(id);
                    ours.push(id);
                }
                ref other => panic!("{other:?}"),
            }
        }
        ours
    }

    fn assert_lent(&self, id: Id) {
        assert!(
            id == 0 || self.objects.contains_key(&id) || self.answers.contains(&id),
            "{id} was forgotten"
        );
    }

    fn drop_objects(&mut self) {
        while let Some(at) = self.handles.iter().position(|id| *id < 0) {
            let id = self.handles.swap_remove(at);
            self.session.drop_import(id);
        }
    }
}

fn choose<T>(all: &[T], number: u8) -> Option<&T> {
    all.get(usize::from(number) % all.len().max(1))
}

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_kept(
        steps in prop::collection::vec((0u8..14, any::<bool>(), any::<u8>(), any::<u8>()), 0..150),
        finish_first: bool,
        extended: bool,
    ) {
        let mut world = Model::new(extended);
        for step in steps {
            world.step(step);
        }
        world.end(finish_first);
    }
}
