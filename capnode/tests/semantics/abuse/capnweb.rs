//! Cap'n Web, whose ids are numbers.

use super::Outcome::{Ends, Error, Goes, Ignored};
use super::*;

all! {
    /// The message of the peer, and the place of the id in it.
    enum Kind {
        /// A call on it, with an answer that is kept.
        Push,
        /// A call on it, with an answer that is sent.
        Stream,
        /// A value in the place of a call, with a reference to it.
        Evaluate,
        Pull,
        Resolve,
        Reject,
        /// Gives back none, one, two, more than a table could count, and fewer than none.
        ReleaseNone,
        Release,
        ReleaseTwo,
        ReleaseHuge,
        ReleaseNegative,
        /// Opens a stream; the id is of no meaning.
        Pipe,
        /// The abilities of a marked peer; the id has no meaning.
        Abilities,
        /// The last call that the peer runs, by its number.
        Draining,
        /// The end, with a reference to it in the reason.
        Abort,
        /// A word of another language.
        Progress,
        /// Words in the arguments of a call.
        Export,
        Import,
        Pipeline,
        Promise,
        /// Forms in the arguments of a call that are not supported.
        Remap,
        Readable,
        Writable,
    }
}

all! {
    /// The referent of the id. The message decides its side: a call or a release names an export of this side, and an
    /// answer or an export names one of the peer.
    enum State {
        /// 0.
        Index,
        /// Of a call that was never made.
        UnknownCall,
        /// Of something that was never lent.
        UnknownObject,
        /// In use, but by the other side.
        OtherSide,
        /// A call that runs, whose answer is sent.
        Streamed,
        /// A call that runs, whose answer is kept.
        Pushed,
        /// A call that has ended.
        Resolved,
        /// A call that runs, and was given back.
        GivenUp,
        /// A call that has ended, and was given back.
        Released,
        /// Lent and held.
        Lent,
        /// A promise that is not resolved yet.
        Promised,
        /// Lent, and given back.
        Dropped,
        HugeCall,
        HugeObject,
        /// Beyond what any table can count.
        Beyond,
        NotANumber,
        /// In a message that repeats the one before.
        Twice,
        /// More was given back than was held, which has ended the session.
        OverReleased,
    }
}

use Kind::*;
use State::*;

impl Kind {
    fn message(self, id: &str) -> String {
        let echo = |word: &str| format!(r#"["stream",["pipeline",0,["echo"],[["{word}",{id}]]]]"#);
        match self {
            Kind::Push => format!(r#"["push",["pipeline",{id},["note"],[5]]]"#),
            Kind::Stream => format!(r#"["stream",["pipeline",{id},["note"],[5]]]"#),
            Kind::Evaluate => format!(r#"["stream",[[["import",{id}]]]]"#),
            Kind::Pull => format!(r#"["pull",{id}]"#),
            Kind::Resolve => format!(r#"["resolve",{id},5]"#),
            Kind::Reject => format!(r#"["reject",{id},["error","Error","no"]]"#),
            Kind::ReleaseNone => format!(r#"["release",{id},0]"#),
            Kind::Release => format!(r#"["release",{id},1]"#),
            Kind::ReleaseTwo => format!(r#"["release",{id},2]"#),
            Kind::ReleaseHuge => format!(r#"["release",{id},9223372036854775807]"#),
            Kind::ReleaseNegative => format!(r#"["release",{id},-1]"#),
            Kind::Pipe => r#"["pipe"]"#.to_owned(),
            Kind::Abilities => r#"["abilities","later",["later",{"a":[1]}]]"#.to_owned(),
            Kind::Draining => format!(r#"["draining",{id}]"#),
            Kind::Abort => format!(r#"["abort",{{"of":["import",{id}]}}]"#),
            Kind::Progress => format!(r#"["progress",{id},5]"#),
            Kind::Export => echo("export"),
            Kind::Import => echo("import"),
            Kind::Pipeline => echo("pipeline"),
            Kind::Promise => echo("promise"),
            Kind::Remap => {
                format!(
                    r#"["stream",["pipeline",0,["echo"],[["remap",{id},[],[["export",-70]],[["pipeline",0]]]]]]"#
                )
            }
            Kind::Readable => echo("readable"),
            Kind::Writable => echo("writable"),
        }
    }

    /// Returns whether the peer allocates the id.
    fn is_theirs(self) -> bool {
        matches!(
            self,
            Kind::Resolve | Kind::Reject | Kind::Export | Kind::Promise | Kind::Writable | Kind::Progress
        )
    }

    fn ids(self, state: State) -> &'static [&'static str] {
        match (state, self.is_theirs()) {
            (State::Index, _) => &["0", "-0"],
            (State::UnknownCall, _) => &["99"],
            (State::UnknownObject, _) => &["-99"],
            (State::OtherSide, false) => &["-50"],
            (State::OtherSide, true) => &["-3"],
            (State::Streamed, _) => &["2"],
            (State::Pushed, _) => &["1"],
            (State::Resolved, _) => &["3"],
            (State::Released, _) => &["4"],
            (State::GivenUp, _) => &["5"],
            (State::Lent, false) => &["-1"],
            (State::Lent, true) => &["-50"],
            (State::Dropped, false) => &["-2"],
            (State::Dropped, true) => &["-51"],
            (State::Promised, false) => &["-3"],
            (State::Promised, true) => &["-52"],
            (State::HugeCall, _) => &["9223372036854775807", "9007199254740993"],
            (State::HugeObject, _) => &["-9223372036854775808", "-9007199254740993"],
            (State::Beyond, _) => &["9223372036854775808", "-9223372036854775809", "1e400", "1e-400"],
            (State::NotANumber, _) => &["1.5", "\"1\"", "null", "1e0", "[1]", "true", "{}", ""],
            (State::Twice, _) => match self {
                Kind::Pull => &["3"],
                Kind::Resolve | Kind::Reject => &["2"],
                _ if self.is_theirs() => &["-60"],
                _ => &["-1"],
            },
            (State::OverReleased, _) => &["-1"],
        }
    }

    fn scenes(self, state: State, marked: bool) -> Vec<Scene> {
        let scene = |id: &&str| {
            let (mut peer, log, held) = furnished(marked);
            let message = self.message(id);
            let probe = (r#"["stream",["pipeline",0,["note"],[77]]]"#.to_owned(), ",77]");
            match state {
                State::Twice => peer.receive(&message),
                State::OverReleased => peer.receive(r#"["release",-1,2]"#),
                _ => {}
            }
            Scene { peer, log, held, id: (*id).to_owned(), message, probe }
        };
        self.ids(state).iter().map(scene).collect()
    }
}

/// A session with ids in all states. `marked` says that the peer is marked.
fn furnished(marked: bool) -> (Endpoint, Log, Held) {
    let (log, mut peer) = offered_probe();
    if marked {
        peer.receive(r#"["release",0,0]"#);
    }
    for frame in [
        // 1 to 5, calls of the peer.
        r#"["push",["pipeline",0,["wait"],[1]]]"#,
        r#"["stream",["pipeline",0,["wait"],[2]]]"#,
        r#"["push",["pipeline",0,["make"],[]]]"#,
        r#"["push",["pipeline",0,["make"],[]]]"#,
        r#"["push",["pipeline",0,["wait"],[5]]]"#,
        r#"["release",4,1]"#,
        r#"["release",5,1]"#,
        // 6 to 8: -1 is lent, -2 is lent and given back, -3 is a promise.
        r#"["stream",["pipeline",0,["make"],[]]]"#,
        r#"["stream",["pipeline",0,["make"],[]]]"#,
        r#"["release",-2,1]"#,
        r#"["stream",["pipeline",0,["backInside"],[["import",1]]]]"#,
        // 9 to 11: the peer's -50 is held, its -51 was given back, its -52 is a promise.
        r#"["stream",["pipeline",0,["keep"],[["export",-50]]]]"#,
        r#"["stream",["pipeline",0,["note"],[1,["export",-51]]]]"#,
        r#"["stream",["pipeline",0,["note"],[["promise",-52]]]]"#,
    ] {
        peer.receive(frame);
    }
    // Calls of this side: a kept one, one that waits, one with an answer, a kept one that was dropped, one given up.
    let theirs = peer.core().index::<Cap>();
    let kept = theirs.invoke::<Value>("x", (1,)).pipeline_cap();
    let mut waiting: Vec<::capnode::Call<Value>> =
        (2..=3).map(|number| theirs.invoke("x", (number,))).collect();
    waiting.iter_mut().for_each(|call| assert!(poll(call).is_pending()));
    peer.receive(r#"["resolve",3,3]"#);
    drop(theirs.invoke::<Value>("x", (4,)).pipeline_cap());
    let given_up = started(theirs.invoke::<Value>("x", (5,)));
    drop(given_up);
    drop(peer.frames());
    (peer, log, Box::new((theirs, kept, waiting)))
}

#[test]
fn every_message_with_an_id_in_any_state_has_its_known_outcome() {
    let stranger = play(TABLE, &[], Kind::ALL, State::ALL, |kind, state| kind.scenes(state, false));
    let marked = play(TABLE, MARKED, Kind::ALL, State::ALL, |kind, state| kind.scenes(state, true));
    eprintln!("{} cells, in {stranger} and {marked} scenes", Kind::ALL.len() * State::ALL.len());
}

/// The library has a test that these are all that can be said.
#[test]
fn each_kind_is_said_as_the_list_has_it() {
    let said = Kind::ALL.iter().map(|kind| format!("{kind:?} {}", kind.message(kind.ids(State::Lent)[0])));
    assert_eq!(said.collect::<Vec<_>>(), include_str!("capnweb.kinds").lines().collect::<Vec<_>>());
}

#[rustfmt::skip]
const TABLE: &[Row<Kind, State>] = &[
    (Push, &[Index, Resolved, Lent, Twice], Goes("5 exports+1")),
    (Push, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Goes("exports+1")),
    (Push, &[Pushed, Promised], Goes("exports+1 running+1")),
    (Push, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Push, &[OverReleased], Ignored),

    (Stream, &[Index, Resolved, Lent], Goes(r#"["resolve",12,5] 5"#)),
    (Stream, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Error("no such entry on exports table: #")),
    (Stream, &[Pushed, Promised], Goes("running+1")),
    (Stream, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Stream, &[Twice], Goes(r#"["resolve",13,5] 5"#)),
    (Stream, &[OverReleased], Ignored),

    (Evaluate, &[Index, Pushed, Resolved, Lent, Promised], Goes(r#"["resolve",12,[[["export",-4]]]] exports+1"#)),
    (Evaluate, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Error("no such entry on exports table: #")),
    (Evaluate, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Evaluate, &[Twice], Goes(r#"["resolve",13,[[["export",-5]]]] exports+1"#)),
    (Evaluate, &[OverReleased], Ignored),

    (Pull, &[Index], Goes(r#"["resolve",0,["export",-4]] exports+1"#)),
    (Pull, &[UnknownCall, UnknownObject, OtherSide, GivenUp, Released, Dropped, HugeCall, HugeObject], Error("no such export ID: #")),
    (Pull, &[Streamed, Pushed, Twice, OverReleased], Ignored),
    (Pull, &[Resolved], Goes(r#"["resolve",3,["export",-4]] exports+1"#)),
    (Pull, &[Lent, Promised], Error("Tried to resolve a non-promise stub.")),
    (Pull, &[Beyond, NotANumber], Ends("there should be a whole number…")),

    (Resolve, &[Index, UnknownCall, UnknownObject, OtherSide, Pushed, Resolved, Released, Lent, Dropped, HugeCall, HugeObject, Twice, OverReleased], Ignored),
    (Resolve, &[Streamed], Goes(r#"["release",2,1] imports-1 calls-1"#)),
    (Resolve, &[GivenUp], Ignored),
    (Resolve, &[Promised], Goes(r#"["release",#,1] ["resolve",11,5] 5 imports-1 running-1"#)),
    (Resolve, &[Beyond, NotANumber], Ends("there should be a whole number…")),

    (Reject, &[Index, UnknownCall, UnknownObject, OtherSide, Pushed, Resolved, Released, Lent, Dropped, HugeCall, HugeObject, Twice, OverReleased], Ignored),
    (Reject, &[Streamed], Goes(r#"["release",2,1] imports-1 calls-1"#)),
    (Reject, &[GivenUp], Ignored),
    (Reject, &[Promised], Error("no")),
    (Reject, &[Beyond, NotANumber], Ends("there should be a whole number…")),

    (ReleaseNone, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject, Twice, OverReleased], Ignored),
    (ReleaseNone, &[Beyond, NotANumber], Ends("there should be a whole number…")),

    (Release, &[Index], Goes("gone")),
    (Release, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject, Twice], Ends("no such export ID: #")),
    (Release, &[Pushed, Resolved, Lent, Promised], Goes("exports-1")),
    (Release, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Release, &[OverReleased], Ignored),

    (ReleaseTwo, &[Index, Resolved, Lent, Promised], Ends("refcount would go negative: 1 < 2")),
    (ReleaseTwo, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Ends("no such export ID: #")),
    (ReleaseTwo, &[Pushed], Ends("refcount would go negative: # < 2")),
    (ReleaseTwo, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (ReleaseTwo, &[Twice, OverReleased], Ignored),

    (ReleaseHuge, &[Index, Resolved, Lent, Promised], Ends("refcount would go negative: 1 < 9223372036854775807")),
    (ReleaseHuge, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Ends("no such export ID: #")),
    (ReleaseHuge, &[Pushed], Ends("refcount would go negative: # < 9223372036854775807")),
    (ReleaseHuge, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (ReleaseHuge, &[Twice, OverReleased], Ignored),

    (ReleaseNegative, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject], Ends("a release of fewer than no references")),
    (ReleaseNegative, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (ReleaseNegative, &[Twice, OverReleased], Ignored),

    (Pipe, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject, Beyond, NotANumber, Twice], Goes("exports+1")),
    (Pipe, &[OverReleased], Ignored),

    (Abilities, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject, Beyond, NotANumber], Ends("unknown message: abilities")),
    (Abilities, &[Twice, OverReleased], Ignored),

    (Draining, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject], Ends("unknown message: draining")),
    (Draining, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Draining, &[Twice, OverReleased], Ignored),

    (Abort, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject], Ends(r#"the peer ended the session: {"of":["undefined"]}"#)),
    (Abort, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Abort, &[Twice, OverReleased], Ignored),

    (Progress, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject, Beyond, NotANumber], Ends("unknown message: progress")),
    (Progress, &[Twice, OverReleased], Ignored),

    (Export, &[Index, UnknownCall, Streamed, Pushed, Resolved, GivenUp, Released, HugeCall], Ends("an export under an id that is not the sender's: #")),
    (Export, &[UnknownObject, OtherSide, Dropped, HugeObject], Goes(r#"["resolve",12,["export",-4]] imports+1 exports+1"#)),
    (Export, &[Lent], Goes(r#"["resolve",12,["export",-4]] exports+1"#)),
    (Export, &[Promised], Ends("an export under the id of a promise: #")),
    (Export, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Export, &[Twice], Goes(r#"["resolve",13,["export",-5]] exports+1"#)),
    (Export, &[OverReleased], Ignored),

    (Import, &[Index, Pushed, Resolved, Lent, Promised], Goes(r#"["resolve",12,["export",-4]] exports+1"#)),
    (Import, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Error("no such entry on exports table: #")),
    (Import, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Import, &[Twice], Goes(r#"["resolve",13,["export",-5]] exports+1"#)),
    (Import, &[OverReleased], Ignored),

    (Pipeline, &[Index, Resolved, Lent], Goes(r#"["resolve",12,["export",-4]] exports+1"#)),
    (Pipeline, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Error("no such entry on exports table: #")),
    (Pipeline, &[Pushed, Promised], Goes("running+1")),
    (Pipeline, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Pipeline, &[Twice], Goes(r#"["resolve",13,["export",-5]] exports+1"#)),
    (Pipeline, &[OverReleased], Ignored),

    (Promise, &[Index, UnknownCall, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, HugeCall, Twice], Ends("a promise under an id already used: #")),
    (Promise, &[UnknownObject, OtherSide, Dropped, HugeObject], Goes("imports+1 running+1")),
    (Promise, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Promise, &[OverReleased], Ignored),

    (Remap, &[Index, Resolved, Lent], Goes(r#"["release",-70,1] ["resolve",12,["export",-4]] exports+1"#)),
    (Remap, &[UnknownCall, UnknownObject, OtherSide, Streamed, GivenUp, Released, Dropped, HugeCall, HugeObject], Error("no such entry on exports table: #")),
    (Remap, &[Pushed, Promised], Goes("imports+1 running+1")),
    (Remap, &[Twice], Goes(r#"["release",-70,1] ["resolve",13,["export",-5]] exports+1"#)),
    (Remap, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Remap, &[OverReleased], Ignored),

    (Readable, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject, Twice], Error("no pipe to read from: #")),
    (Readable, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Readable, &[OverReleased], Ignored),

    (Writable, &[Index, UnknownCall, Streamed, Pushed, Resolved, GivenUp, Released, HugeCall], Ends("an export under an id that is not the sender's: #")),
    (Writable, &[UnknownObject, OtherSide, Dropped, HugeObject], Goes(r#"["resolve",12,["writable",-4]] imports+1 exports+1"#)),
    (Writable, &[Lent], Goes(r#"["resolve",12,["writable",-4]] exports+1"#)),
    (Writable, &[Twice], Goes(r#"["resolve",13,["writable",-5]] exports+1"#)),
    (Writable, &[Promised], Ends("an export under the id of a promise: #")),
    (Writable, &[Beyond, NotANumber], Ends("there should be a whole number…")),
    (Writable, &[OverReleased], Ignored),
];

/// The differences with a marked peer. It may cancel a stream, which can cross the answer, and one object has one id.
#[rustfmt::skip]
const MARKED: &[Row<Kind, State>] = &[
    (Evaluate, &[Pushed, Promised], Goes(r#"["resolve",12,[[["export",-3]]]]"#)),
    (Evaluate, &[Lent], Goes(r#"["resolve",12,[[["export",-1]]]]"#)),
    (Evaluate, &[Twice], Goes(r#"["resolve",13,[[["export",-1]]]]"#)),

    (Resolve, &[Streamed], Goes("imports-1 calls-1")),

    (Reject, &[Streamed], Goes("imports-1 calls-1")),

    (Release, &[Streamed], Goes("cancelled 2 running-1")),
    (Release, &[GivenUp, Released], Ignored),

    (ReleaseTwo, &[Streamed], Ends("refcount would go negative: 1 < #")),
    (ReleaseTwo, &[GivenUp, Released], Ignored),

    (ReleaseHuge, &[Streamed], Ends("refcount would go negative: 1 < 9223372036854775807")),
    (ReleaseHuge, &[GivenUp, Released], Ignored),

    (Abilities, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject, Beyond, NotANumber, Twice, OverReleased], Ignored),

    (Draining, &[Index, UnknownCall, UnknownObject, OtherSide, Streamed, Pushed, Resolved, GivenUp, Released, Lent, Promised, Dropped, HugeCall, HugeObject, Twice], Ignored),

    (Export, &[UnknownObject, Dropped, HugeObject], Goes(r#"["resolve",12,["import",#]] ["release",#,1]"#)),
    (Export, &[OtherSide], Goes(r#"["resolve",12,["import",-3]] ["release",-3,1]"#)),
    (Export, &[Lent], Goes(r#"["resolve",12,["import",#]]"#)),
    (Export, &[Twice], Goes(r#"["resolve",13,["import",#]] ["release",#,1]"#)),

    (Writable, &[UnknownObject, Dropped, HugeObject], Goes(r#"["resolve",12,["import",#]] ["release",#,1]"#)),
    (Writable, &[OtherSide], Goes(r#"["resolve",12,["import",-3]] ["release",-3,1]"#)),
    (Writable, &[Lent], Goes(r#"["resolve",12,["import",#]]"#)),
    (Writable, &[Twice], Goes(r#"["resolve",13,["import",#]] ["release",#,1]"#)),

    (Import, &[Pushed, Promised], Goes(r#"["resolve",12,["export",-3]]"#)),
    (Import, &[Lent], Goes(r#"["resolve",12,["export",-1]]"#)),
    (Import, &[Twice], Goes(r#"["resolve",13,["export",-1]]"#)),

    (Pipeline, &[Lent], Goes(r#"["resolve",12,["export",-1]]"#)),
    (Pipeline, &[Twice], Goes(r#"["resolve",13,["export",-1]]"#)),

    (Remap, &[Lent], Goes(r#"["release",-70,1] ["resolve",12,["export",-1]]"#)),
    (Remap, &[Twice], Goes(r#"["release",-70,1] ["resolve",13,["export",-1]]"#)),
];
