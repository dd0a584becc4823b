//! User code that uses a core again from where the core runs it. Under a lock, it would wait for itself.

use std::cell::RefCell;
use std::sync::{Weak, mpsc};
use std::task::Wake;
use std::time::Duration;

use crate::harness::*;
use capnode::Bytes;
use capnode::sans_io::Handler;

/// A core, and what user code has taken out of it.
struct End {
    core: Core,
    frames: Mutex<Vec<String>>,
    handlers: Mutex<Vec<Handler>>,
    looks: AtomicUsize,
}

/// User code that uses its core when it is woken, called or dropped.
#[derive(Clone)]
struct Nosy(Weak<End>);

impl Nosy {
    fn waker(&self) -> Waker {
        Waker::from(Arc::new(self.clone()))
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        // Its drop looks.
        drop(self);
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.0.upgrade().inspect(|side| side.look());
    }
}

impl End {
    fn new(make: impl FnOnce(Nosy) -> Core) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            core: make(Nosy(own.clone())),
            frames: Mutex::default(),
            handlers: Mutex::default(),
            looks: AtomicUsize::new(0),
        })
    }

    fn nosy(self: &Arc<Self>) -> Nosy {
        Nosy(Arc::downgrade(self))
    }

    /// Uses all of the core that does not end it.
    fn look(&self) {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let core = &self.core;
        core.set_waker(Waker::noop());
        while let Some(frame) = core.next_frame() {
            lock(&self.frames).push(frame);
        }
        let started = core.handlers();
        lock(&self.handlers).extend(started);
        core.tick(Duration::ZERO);
        let _seen = (core.report(), core.is_idle(), core.closed(), core.dialect());
        core.index::<Cap>().get::<Value>("name").send().ok();
    }

    /// Polls the handlers, and hands all frames to the other side.
    fn step(self: &Arc<Self>, other: &Self) {
        let waker = self.nosy().waker();
        self.core.set_waker(&waker);
        self.look();
        let mut handlers = std::mem::take(&mut *lock(&self.handlers));
        handlers.retain_mut(|handler| Pin::new(handler).poll(&mut Context::from_waker(&waker)).is_pending());
        lock(&self.handlers).extend(handlers);
        self.core.set_waker(&waker);
        let frames = std::mem::take(&mut *lock(&self.frames));
        frames.iter().for_each(|frame| other.core.receive(frame));
    }
}

/// An index of functions that hold user code.
fn index(nosy: &Nosy) -> Object {
    let (making, waiting) = (nosy.clone(), nosy.clone());
    Object::new()
        .with("name", "nosy")
        .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }))
        .with(
            "make",
            Func::<fn() -> Func<fn()>>::new(move || {
                let made = making.clone();
                async move { holding(made) }
            }),
        )
        .with(
            "wait",
            Func::<fn(Value) -> Value>::new(move |value: Value| {
                let held = waiting.clone();
                async move {
                    let _held = held;
                    std::future::pending::<()>().await;
                    value
                }
            }),
        )
}

fn holding(nosy: Nosy) -> Func<fn()> {
    Func::new(move || {
        let _held = &nosy;
        async {}
    })
}

fn use_everything(dialect: Dialect) {
    let limits = limits(|limits| limits.unwritten_bytes_soft = 1);
    let build = || Core::builder().limits(limits.clone()).dialect(dialect);
    let here = End::new(|nosy| build().connecting(index(&nosy)));
    let there = End::new(|nosy| build().accepting(index(&nosy)));
    let settle = || {
        (0..6)
            .for_each(|_| [(&here, &there), (&there, &here)].iter().for_each(|(one, other)| one.step(other)))
    };
    let waker = here.nosy().waker();
    let mut cx = Context::from_waker(&waker);
    let root: Cap = here.core.index();
    settle();
    let mut calls: Vec<_> = [("echo", 1.0), ("make", 1.0), ("echo", f64::NAN), ("wait", 1.0), ("wait", 1.0)]
        .map(|(name, number)| root.invoke::<Value>(name, (holding(here.nosy()), number)).into_future())
        .into_iter()
        .collect();
    let guard = root.on_broken({
        let nosy = here.nosy();
        move |_| drop(nosy)
    });
    for call in &mut calls {
        let _asked = Pin::new(call).poll(&mut cx);
    }
    settle();
    // One is given up, and the others end with the session.
    drop(calls.remove(4));
    let ended: Vec<bool> = calls.iter_mut().map(|call| Pin::new(call).poll(&mut cx).is_ready()).collect();
    assert_eq!(ended, [true, true, true, false], "{dialect:?}");
    settle();
    there.core.close("enough");
    here.core.close("enough");
    drop((guard, calls));
    assert!([&here, &there].iter().all(|end| end.looks.load(Ordering::SeqCst) > 20));
    assert_eq!((here.core.tables(), there.core.tables()), <(Tables, Tables)>::default());
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "WebAssembly has no threads")]
fn user_code_may_use_the_core_that_runs_it() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            use_everything(dialect);
            done.send(())
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(()), "{dialect:?}");
    }
}

thread_local! {
    static LAST: RefCell<Option<LastCall>> = const { RefCell::new(None) };
}

/// Makes calls when its thread ends, and drops an object.
struct LastCall(Cap, ProbeClient);

impl Drop for LastCall {
    fn drop(&mut self) {
        let _unheard = self.0.invoke::<Value>("bye", (self.1.clone(), Bytes::from(vec![1]))).send();
        let noted = poll(&mut self.1.note(1));
        assert!(matches!(noted, Poll::Ready(Ok(1))));
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "WebAssembly has no threads")]
fn calls_can_be_made_while_a_thread_drops_what_is_local_to_it() {
    let (core, log) = (Core::connecting(()), Log::default());
    let (cap, probe) = (core.index::<Cap>(), log.probe());
    std::thread::spawn(move || {
        // What is registered first is dropped last.
        LAST.set(Some(LastCall(cap.clone(), probe.clone())));
        let _unheard = cap.invoke::<Value>("hello", (probe, Bytes::from(vec![1]))).send();
        drop(Log::default().probe());
    })
    .join()
    .unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| core.next_frame()).collect();
    assert!(frames.iter().any(|frame| frame.contains("bye")), "{frames:?}");
    assert_eq!(log.take(), ["1"]);
    drop(core);
    assert_eq!(log.probes(), 0);
}
