//! The runtimes of the measurements.

use std::future::Future;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, LocalRuntime};

/// Runs a future in a task of its own: in tokio's usual runtime, or in one of a single thread. Tasks that it leaves
/// behind are not waited for.
pub fn run<T: Send + 'static>(single_thread: bool, work: impl Future<Output = T> + Send + 'static) -> T {
    // Not in `block_on` itself: that is woken in other ways than tasks are, and real programs do not work there.
    let task = async { tokio::spawn(work).await.expect("it doesn't panic") };
    if single_thread {
        let runtime = single();
        let done = runtime.block_on(task);
        runtime.shutdown_background();
        done
    } else {
        // The runtime of `#[tokio::main]`: a worker for each core that the process may use.
        let runtime = Builder::new_multi_thread().enable_all().build().expect("there is a runtime");
        let done = runtime.block_on(task);
        runtime.shutdown_background();
        done
    }
}

/// A runtime of one thread, for the libraries that work in no other.
pub fn single() -> LocalRuntime {
    Builder::new_current_thread().enable_all().build_local(Default::default()).expect("there is a runtime")
}

/// Keeps this thread, and all that it starts, on one core: the first, or another, of those that the process may use.
/// Otherwise the cost of waking another core, which is tens of microseconds or nothing, at random, would drown the
/// results.
pub fn pin(core: usize) {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| {
        let set = sched_getaffinity(None).expect("a thread may ask that");
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    });
    let mut set = CpuSet::new();
    set.set(allowed[core.min(allowed.len() - 1)]);
    sched_setaffinity(None, &set).expect("it is one of the allowed");
}
