//! A core with its running handlers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use super::{Core, Handler};

/// A [`Core`] with the handlers that it has started: one end of a connection without a runtime. A test plays the other
/// end: it sends frames, and sees the frames that it is sent.
///
/// ```
/// use capnode::Func;
/// use capnode::sans_io::{Core, Endpoint};
///
/// let double = Func::<fn(u32) -> u32>::new(|number: u32| async move { 2 * number });
/// let mut endpoint = Endpoint::new(Core::accepting(double));
/// endpoint.receive(r#"["push",["pipeline",0,[],[21]]]"#);
/// endpoint.receive(r#"["pull",1]"#);
/// assert_eq!(endpoint.frames(), [r#"["resolve",1,42]"#]);
/// ```
pub struct Endpoint {
    core: Core,
    running: Vec<SpawnedHandler>,
}

/// A handler that has not ended.
struct SpawnedHandler {
    handler: Handler,
    woken: Arc<WakeFlag>,
}

/// `true` if the handler's future wants to be polled.
pub(super) struct WakeFlag(AtomicBool);

impl WakeFlag {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Endpoint {
    /// Creates an endpoint from a core that has started no handlers yet.
    pub fn new(core: Core) -> Self {
        Self { core, running: Vec::new() }
    }

    /// Returns the core.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Returns the number of polled handlers that have not ended.
    pub fn handlers(&self) -> usize {
        self.running.len()
    }

    /// Polls once each handler that is ready to go on. Returns `true` if there was one.
    pub fn poll_handlers(&mut self) -> bool {
        let started = self.core.handlers().into_iter();
        self.running.extend(started.map(|handler| SpawnedHandler { handler, woken: WakeFlag::new() }));
        let mut any = false;
        self.running.retain_mut(|running| {
            if !running.woken.take() {
                return true;
            }
            any = true;
            let waker = Waker::from(running.woken.clone());
            Pin::new(&mut running.handler).poll(&mut Context::from_waker(&waker)).is_pending()
        });
        any
    }

    /// Polls handlers until none is ready to go on. Does not return while they keep each other going without end.
    pub fn settle(&mut self) {
        while self.poll_handlers() {}
    }

    /// Receives a frame, and polls the handlers until none is ready to go on.
    pub fn receive(&mut self, frame: &str) {
        self.core.receive(frame);
        self.settle();
    }

    /// Polls the handlers until none is ready to go on, and returns the frames to write since the last call.
    pub fn frames(&mut self) -> Vec<String> {
        self.settle();
        std::iter::from_fn(|| self.core.next_frame()).collect()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("core", &self.core).field("handlers", &self.handlers()).finish()
    }
}
