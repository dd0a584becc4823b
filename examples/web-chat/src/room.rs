//! The chat room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use capnode::value::Body;
use capnode::{Bytes, Error, Membrane, Reader, policy};
use futures_util::{StreamExt as _, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{Chat, Host, HostClient, Line, Refusal, Seat, SeatClient, Welcome};

/// Lines that are kept for those who come later.
const KEPT: usize = 50;

/// Bytes of a picture.
const LARGEST: usize = 256 * 1024;

#[derive(Clone)]
pub struct Room {
    state: Arc<Mutex<State>>,
    lines: broadcast::Sender<Line>,
}

#[derive(Default)]
struct State {
    /// Each member gets references behind a border of its own.
    members: BTreeMap<String, Membrane>,
    has_host: bool,
    said: VecDeque<Line>,
}

impl Default for Room {
    fn default() -> Self {
        Self { state: Arc::default(), lines: broadcast::channel(KEPT).0 }
    }
}

impl Room {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, from: Option<&str>, text: &str, picture: Option<Bytes>) {
        println!("{}: {}", from.unwrap_or("*"), if picture.is_some() { "(a picture)" } else { text });
        let line = Line { from: from.map(str::to_owned), text: text.to_owned(), picture };
        let mut state = self.state();
        if state.said.len() == KEPT {
            state.said.pop_front();
        }
        state.said.push_back(line.clone());
        // Told under the lock, so that whoever comes now gets the line either way, once.
        let _nobody_is_here = self.lines.send(line);
    }
}

impl Chat for Room {
    async fn join(&self, name: &str) -> Result<Welcome, Refusal> {
        if name.is_empty() {
            return Err(Refusal::NoName);
        }
        // Nobody does more than 20 things a second.
        let border = Membrane::new(policy::rate(20, Duration::from_secs(1), |_| ()));
        let becomes_host = {
            let mut state = self.state();
            if state.members.contains_key(name) {
                return Err(Refusal::NameTaken);
            }
            state.members.insert(name.to_owned(), border.clone());
            !std::mem::replace(&mut state.has_host, true)
        };
        self.tell(None, &format!("{name} comes in"), None);
        let member = Member { name: name.to_owned(), room: self.clone() };
        let seat = border.wrap(SeatClient::new(member));
        let hosting = || Hosting { name: name.to_owned(), room: self.clone() };
        Ok(Welcome { seat, host: becomes_host.then(|| border.wrap(HostClient::new(hosting()))) })
    }
}

struct Member {
    name: String,
    room: Room,
}

impl Seat for Member {
    async fn lines(&self) -> Reader<Line> {
        let state = self.room.state();
        let said = stream::iter(state.said.clone());
        Reader::new(said.chain(stream::unfold(self.room.lines.subscribe(), next)))
    }

    async fn say(&self, text: &str) {
        self.room.tell(Some(&self.name), text, None);
    }

    async fn show(&self, picture: Reader<Bytes>) -> Result<(), Error> {
        let bytes = Body::from(picture).read_to_end(LARGEST).await?;
        self.room.tell(Some(&self.name), "", Some(bytes.into()));
        Ok(())
    }

    async fn members(&self) -> Vec<String> {
        self.room.state().members.keys().cloned().collect()
    }
}

/// Runs when the page lets go of the seat, when its connection ends, and when the seat is taken back.
impl Drop for Member {
    fn drop(&mut self) {
        self.room.state().members.remove(&self.name);
        self.room.tell(None, &format!("{} leaves", self.name), None);
    }
}

/// Waits for the next line. Who reads too slowly misses some.
async fn next(mut lines: broadcast::Receiver<Line>) -> Option<(Line, broadcast::Receiver<Line>)> {
    loop {
        match lines.recv().await {
            Ok(line) => return Some((line, lines)),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

struct Hosting {
    name: String,
    room: Room,
}

impl Host for Hosting {
    async fn kick(&self, name: &str) {
        let border = self.room.state().members.get(name).cloned();
        if let Some(border) = border {
            border.revoke(Error::rejected(format!("{} has sent you away", self.name)));
        }
    }
}

/// Makes whoever comes next the host.
impl Drop for Hosting {
    fn drop(&mut self) {
        self.room.state().has_host = false;
    }
}
