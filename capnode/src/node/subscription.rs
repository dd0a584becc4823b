//! Subscriptions that are made anew on each connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;

use super::reconnect::{LineState, Reconnection};
use crate::error::{Error, ErrorKind, Fate};
use crate::interface::func::Func;
use crate::interface::{Client, Wire};
use crate::runtime::{self, AbortHandle};
use crate::sync::{Mutex, lock};

/// The most updates that wait for the program. The callbacks of the server wait beyond that.
const WAITING: usize = 64;

/// An item of a [`Subscription`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Update<T> {
    /// The server has called with this value.
    Value(T),
    /// The connection was lost, and the subscription has been made again from the cursor of the last value. What follows
    /// is complete if the server has kept what came after that: only it can know.
    Gap,
}

/// The values by which a server calls back, over all connections: see [`subscribe`].
pub struct Subscription<T> {
    updates: mpsc::Receiver<Result<Update<T>, Error>>,
    task: AbortHandle,
}

/// Subscribes on a durable client, and again on each of its connections.
///
/// `listen` is called with the client, the cursor of the last value, which is `from` at first, and a callback. It makes the call
/// that subscribes, and returns what keeps the subscription, which is dropped after the next one was made. The server
/// calls the callback with each value and its cursor. What comes by a callback of an earlier connection after the
/// next call was made is dropped, so that no value comes twice if the server begins behind the cursor.
///
/// Dropping the subscription ends it.
///
/// # Errors
///
/// If the client is not durable. The stream ends with the error of a call that the server has answered with one, and with
/// the reason for which the reference was given up.
pub fn subscribe<C, K, T, R, Fut>(
    client: &C,
    from: K,
    listen: impl Fn(C, K, Func<fn(K, T)>) -> Fut + Send + Sync + 'static,
) -> Result<Subscription<T>, Error>
where
    C: Client,
    K: Wire + Clone + Send + 'static,
    T: Wire + Send + 'static,
    R: Send + 'static,
    Fut: Future<Output = Result<R, Error>> + Send + 'static,
{
    let Some(mut line) = Reconnection::of(client) else {
        let message = "only a durable client can be subscribed on: see `Connect::reconnecting`";
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    runtime::check()?;
    let (sender, updates) = mpsc::channel(WAITING);
    let place = Arc::new(Mutex::new(Place { turn: 0, cursor: from }));
    let client = client.clone();
    let keeping = async move {
        let mut kept: Option<R> = None;
        loop {
            let epoch = line.epoch();
            let (cursor, callback) = next_turn(&place, &sender);
            let listened = listen(client.clone(), cursor, callback).await;
            let subscribed = listened.is_ok();
            let was_lost = line.epoch() != epoch || !matches!(line.state(), LineState::Up);
            match listened {
                Ok(listening) => kept = Some(listening),
                Err(error) if error.fate() == Fate::Answered || !was_lost => {
                    return end(&sender, error).await;
                }
                // The next one tries again.
                Err(_) => {}
            }
            let mut state = line.state();
            while (subscribed && line.epoch() == epoch) || !matches!(state, LineState::Up) {
                if let LineState::Ended(why) = state {
                    return end(&sender, why).await;
                }
                state = line.changed().await;
            }
            if kept.is_some() && sender.send(Ok(Update::Gap)).await.is_err() {
                return;
            }
        }
    };
    Ok(Subscription { updates, task: runtime::start(keeping).abort_handle() })
}

type Sender<T> = mpsc::Sender<Result<Update<T>, Error>>;
type Callback<K, T> = Func<fn(K, T)>;

/// Tells the reason of the end.
async fn end<T>(sender: &Sender<T>, why: Error) {
    // If it is refused, the program has dropped the subscription.
    let _unwanted = sender.send(Err(why)).await;
}

struct Place<K> {
    /// The number of the callback that is in force.
    turn: u64,
    cursor: K,
}

/// Returns the cursor and the callback of the next turn.
fn next_turn<K, T>(place: &Arc<Mutex<Place<K>>>, sender: &Sender<T>) -> (K, Callback<K, T>)
where
    K: Wire + Clone + Send + 'static,
    T: Wire + Send + 'static,
{
    let (turn, cursor) = {
        let mut place = lock(place);
        place.turn += 1;
        (place.turn, place.cursor.clone())
    };
    let (place, sender) = (place.clone(), sender.clone());
    let callback = Func::new(move |cursor: K, value: T| {
        let (place, sender) = (place.clone(), sender.clone());
        async move {
            // Without a receiver the subscription has ended.
            let Ok(room) = sender.reserve().await else { return };
            let mut place = lock(&place);
            if place.turn == turn {
                place.cursor = cursor;
                room.send(Ok(Update::Value(value)));
            }
        }
    });
    (cursor, callback)
}

impl<T> Stream for Subscription<T> {
    type Item = Result<Update<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.updates.poll_recv(cx)
    }
}

impl<T> Subscription<T> {
    /// Returns the next update; `None` after the error that ended it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Update<T>, Error>> {
        self.updates.recv().await
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

crate::opaque::opaque!([T] Subscription<T>);
