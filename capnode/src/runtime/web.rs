//! The host that is the event loop of a browser's page or worker. It has one thread.
//!
//! What JavaScript owns stays in tasks of the loop. The rest of the library talks to these by channels, so that its
//! types can be sent as everywhere else.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::error::Error;

pub(crate) use web_time::{Instant, Instant as StdInstant};

/// A timer, pinned so that it can be polled.
pub(crate) type Sleep = Pin<Box<Timer>>;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, milliseconds: i32) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timeout: &JsValue);
}

/// The longest time that `setTimeout` takes: a longer one ends at once.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// Ends at a time. Nothing is set up before it is polled.
pub(crate) struct Timer {
    end: Instant,
    over: Option<oneshot::Receiver<()>>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Poll::Ready(());
            }
            let over = self.over.get_or_insert_with(|| begin(left));
            if Pin::new(over).poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The loop's clock may be early, and the time too long for it.
            self.over = None;
        }
    }
}

/// Begins to wait for a time. Dropping the receiver ends that.
fn begin(time: Duration) -> oneshot::Receiver<()> {
    let (mut over, is_over) = oneshot::channel();
    spawn_local(async move {
        // Rounded up, so that it need not be waited again.
        let milliseconds = time.min(LONGEST).as_micros().div_ceil(1000) as i32;
        let mut timeout = JsValue::UNDEFINED;
        let waiting = js_sys::Promise::new(&mut |resolve, _| timeout = set_timeout(&resolve, milliseconds));
        match select(JsFuture::from(waiting), over.cancellation()).await {
            // If this fails, the receiver is gone.
            Either::Left(_) => drop(over.send(())),
            Either::Right(_) => clear_timeout(&timeout),
        }
    });
    is_over
}

/// Runs a future as a task of the event loop.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> Result<(), Error> {
    spawn_local(future);
    Ok(())
}

/// Runs a future as a task of the event loop.
pub(crate) fn start(future: impl Future<Output = ()> + 'static) {
    spawn_local(future);
}

/// Returns `true` if [`spawn`] finds something to run a future on: here always.
pub(crate) fn can_spawn() -> bool {
    true
}

/// Returns a timer.
pub(crate) fn sleep(duration: Duration) -> Result<Sleep, Error> {
    Ok(wait(duration))
}

/// Returns a timer that ends at a time.
pub(crate) fn sleep_until(end: Instant) -> Result<Sleep, Error> {
    Ok(Box::pin(Timer { end, over: None }))
}

/// Returns a timer.
pub(crate) fn wait(duration: Duration) -> Sleep {
    let now = Instant::now();
    let end = now.checked_add(duration).unwrap_or(now + LONGEST);
    Box::pin(Timer { end, over: None })
}

/// Checks that there is what every connection needs: here always.
pub(crate) fn check() -> Result<(), Error> {
    Ok(())
}

/// Waits for a time.
pub(crate) async fn after(duration: Duration) {
    wait(duration).await;
}

/// Returns a time as programs have it.
pub(crate) fn to_std(at: Instant) -> StdInstant {
    at
}

/// Returns a time that a program has.
pub(crate) fn from_std(at: StdInstant) -> Instant {
    at
}
