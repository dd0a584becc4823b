//! Durable references and what a peer gives for them: a reference of this program, an error, or nothing.

use std::future::{IntoFuture, pending};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::testing::{Cutter, Line};
use capnode::{Connection, Dialect, Error, ErrorKind, Fate, LineState, Node, Reconnecting, Reconnection};
use capnode_tests::{soon, until};

#[capnode::interface]
trait Room {
    async fn say(&self, line: &str) -> String;
}

#[capnode::interface]
trait House {
    #[capnode(rederive)]
    async fn enter(&self, number: u32) -> Result<RoomClient, String>;
    #[capnode(rederive)]
    async fn beside(&self, other: RoomClient) -> RoomClient;
    async fn keep(&self, room: RoomClient);
    #[capnode(idempotent)]
    async fn again(&self) -> u32;
}

/// The ways in which the house answers `enter`.
#[derive(Clone, Copy, PartialEq)]
enum Enters {
    Opens,
    /// Gives the room that it was given.
    GivesBack,
    Never,
}

struct State {
    enters: Mutex<Enters>,
    kept: Mutex<Option<RoomClient>>,
    calls: AtomicU32,
}

#[derive(Clone)]
struct Home(Arc<State>);

struct Hall;

impl Room for Hall {
    async fn say(&self, line: &str) -> String {
        line.to_owned()
    }
}

impl House for Home {
    async fn enter(&self, _: u32) -> Result<RoomClient, String> {
        let enters = *self.0.enters.lock().unwrap();
        match enters {
            Enters::Opens => Ok(RoomClient::new(Hall)),
            Enters::GivesBack => {
                self.0.kept.lock().unwrap().clone().ok_or_else(|| "nothing is kept".to_owned())
            }
            Enters::Never => pending().await,
        }
    }

    async fn beside(&self, other: RoomClient) -> RoomClient {
        // From the second time on the room goes to the house as an object of the client, which is called at once.
        if self.0.calls.fetch_add(1, Ordering::SeqCst) > 0 {
            *self.0.kept.lock().unwrap() = Some(other.clone());
            *self.0.enters.lock().unwrap() = Enters::GivesBack;
            other.say("from the house").send().unwrap();
        }
        RoomClient::new(Hall)
    }

    async fn keep(&self, room: RoomClient) {
        *self.0.kept.lock().unwrap() = Some(room);
    }

    async fn again(&self) -> u32 {
        match self.0.calls.fetch_add(1, Ordering::SeqCst) {
            0 => pending().await,
            calls => calls,
        }
    }
}

/// A house whose line can be cut, and that can be away.
#[derive(Clone)]
struct Service {
    state: Arc<State>,
    cutter: Arc<Mutex<Option<Cutter>>>,
    away: Arc<AtomicUsize>,
}

impl Service {
    fn new() -> Self {
        let (enters, kept) = (Mutex::new(Enters::Opens), Mutex::default());
        let state = Arc::new(State { enters, kept, calls: AtomicU32::new(0) });
        Self { state, cutter: Arc::default(), away: Arc::default() }
    }

    fn in_language(&self, dialect: Dialect) -> Reconnecting<HouseClient> {
        let service = self.clone();
        capnode::reconnecting(move || {
            let service = service.clone();
            async move {
                if service.away.load(Ordering::SeqCst) > 0 {
                    return Err(Error::rejected("nobody is at home"));
                }
                let (here, there) = Line::new().ends();
                *service.cutter.lock().unwrap() = Some(here.cutter());
                Node::new(HouseClient::new(Home(service.state.clone()))).serve(there).await?;
                Node::builder().dialect(dialect).build().connect_over::<Connection>(here).await
            }
        })
    }

    fn reconnecting(&self) -> Reconnecting<HouseClient> {
        self.in_language(Dialect::CapnWeb)
    }

    fn set(&self, enters: Enters) {
        *self.state.enters.lock().unwrap() = enters;
    }

    async fn lose(&self, house: &HouseClient) {
        let mut line = Reconnection::of(house).expect("a durable client");
        self.cutter.lock().unwrap().take().expect("a line").cut();
        line.changed().await;
        while self.away.load(Ordering::SeqCst) == 0 && !matches!(line.state(), LineState::Up) {
            line.changed().await;
        }
    }
}

async fn say(room: &RoomClient) -> Result<String, Error> {
    soon(room.say("hello").into_future()).await
}

#[tokio::test(start_paused = true)]
async fn a_house_that_gives_a_room_back_as_the_room_itself_breaks_it() {
    let service = Service::new();
    let house = service.reconnecting().await.unwrap();
    let room = soon(house.enter(1).into_future()).await.unwrap();
    let beside = soon(house.beside(room.clone()).into_future()).await.unwrap();
    assert_eq!(say(&beside).await.unwrap(), "hello");
    service.lose(&house).await;
    // It is made again, with the room as an argument that is not there yet.
    assert_eq!(say(&beside).await.unwrap(), "hello");
    let error = say(&room).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unresolved, "{error}");
    // What the house holds of the client keeps the connection, as any reference by it does.
    drop(service.state.kept.lock().unwrap().take());
    drop((room, beside, house));
    until("the connection has ended", || Arc::strong_count(&service.state) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_a_durable_reference_of_this_program_is_that_reference() {
    let service = Service::new();
    let house = service.reconnecting().await.unwrap();
    let room = soon(house.enter(1).into_future()).await.unwrap();
    service.lose(&house).await;
    // The line is there again, and the room is not yet.
    soon(house.keep(room.clone()).into_future()).await.unwrap();
    service.set(Enters::GivesBack);
    for number in 0..2_000 {
        let given = soon(house.enter(number).into_future()).await.unwrap();
        assert_eq!(given, room);
        soon(house.keep(given).into_future()).await.unwrap();
    }
    assert_eq!(say(&room).await.unwrap_err().kind(), ErrorKind::Unresolved);
}

#[tokio::test(start_paused = true)]
async fn idempotent_calls_are_sent_again_in_each_language() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let service = Service::new();
        let house = service.in_language(dialect).await.unwrap();
        let again = tokio::spawn(house.again());
        until("it runs", || service.state.calls.load(Ordering::SeqCst) == 1).await;
        service.cutter.lock().unwrap().take().unwrap().cut();
        let answer = soon(again).await.unwrap();
        assert_eq!(answer.unwrap_or_else(|error| panic!("{dialect}: {error:?}")), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_a_result_that_is_made_again_no_longer_than_for_a_connection() {
    let waits = Duration::from_secs(7);
    for fails in [false, true] {
        let service = Service::new();
        let connecting = service.reconnecting().wait(waits, 1 << 20);
        let connecting = if fails { connecting.fail_while_down() } else { connecting };
        let house = connecting.await.unwrap();
        let room = soon(house.enter(1).into_future()).await.unwrap();
        service.set(Enters::Never);
        service.lose(&house).await;
        let began = tokio::time::Instant::now();
        let error = tokio::time::timeout(Duration::from_secs(60), room.say("hello").into_future()).await;
        let error = error.expect("it ends").unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotSent), "{error}");
        let limit = if fails { Duration::from_secs(30) } else { waits };
        assert!(began.elapsed() >= limit && began.elapsed() < limit + Duration::from_secs(1));
        // The next one makes it again.
        service.set(Enters::Opens);
        assert_eq!(say(&room).await.unwrap(), "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn all_calls_that_wait_for_a_connection_share_its_bound() {
    const MOST: usize = 1 << 20;
    let service = Service::new();
    let house = service.reconnecting().wait(Duration::from_secs(60), MOST).await.unwrap();
    let mut rooms = Vec::new();
    for number in 0..5 {
        rooms.push(soon(house.enter(number).into_future()).await.unwrap());
    }
    service.away.store(1, Ordering::SeqCst);
    service.lose(&house).await;
    let line = "x".repeat(100_000);
    for round in 0..2 {
        let calls: Vec<_> =
            (0..10).flat_map(|_| &rooms).map(|room| tokio::spawn(room.say(&line).into_future())).collect();
        let (mut waiting, mut refused) = (Vec::new(), 0);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        for call in calls {
            if call.is_finished() {
                let error = call.await.unwrap().unwrap_err();
                assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent));
                refused += 1;
            } else {
                waiting.push(call);
            }
        }
        assert!((8..=10).contains(&waiting.len()) && refused >= 40, "{round}: {} wait", waiting.len());
        // Those that are given up leave their place.
        for call in &waiting {
            call.abort();
        }
        if round == 1 {
            service.away.store(0, Ordering::SeqCst);
            assert_eq!(say(&rooms[0]).await.unwrap(), "hello");
        }
    }
}
