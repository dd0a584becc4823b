//! Where there is one thread: the bounds are empty, and values stay in a table.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::marker::{self, PhantomData};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

/// An object, as the library holds it.
pub(crate) type Object = Arc<dyn Any + marker::Send + marker::Sync>;

/// `Send`, where nothing is sent.
pub trait Send {}

impl<T: ?Sized> Send for T {}

/// `Sync`, where nothing is shared with another thread.
pub trait Sync {}

impl<T: ?Sized> Sync for T {}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
    /// The ways to the objects that are shared, by their addresses: one object is the same each time that it is handed out.
    static SHARED: RefCell<HashMap<usize, Weak<Shared>>> = RefCell::default();
}

#[derive(Default)]
struct Table {
    values: Vec<Option<Rc<dyn Any>>>,
    free: Vec<usize>,
}

/// A value of the program's, by its place in the table.
pub(crate) struct Staying<T: 'static> {
    place: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Staying<T> {
    pub(crate) fn new(value: T) -> Self {
        let value: Rc<dyn Any> = Rc::new(value);
        let place = TABLE.with_borrow_mut(|table| match table.free.pop() {
            Some(place) => {
                table.values[place] = Some(value);
                place
            }
            None => {
                table.values.push(Some(value));
                table.values.len() - 1
            }
        });
        Self { place, value: PhantomData }
    }

    pub(crate) fn with<R>(&self, run: impl FnOnce(&T) -> R) -> R {
        let value = Self::typed(TABLE.with_borrow(|table| table.values[self.place].clone()));
        run(&value)
    }

    /// Returns the value itself, where it is held as it is: never.
    pub(crate) fn as_is(&self) -> Option<&T> {
        None
    }

    /// Runs something with the value. It is out of the table meanwhile, since what runs may use that.
    pub(crate) fn with_mut<R>(&mut self, run: impl FnOnce(&mut T) -> R) -> R {
        let mut value = Self::typed(TABLE.with_borrow_mut(|table| table.values[self.place].take()));
        let Some(alone) = Rc::get_mut(&mut value) else { unreachable!("whoever has `&mut` of it is alone") };
        let result = run(alone);
        TABLE.with_borrow_mut(|table| table.values[self.place] = Some(value));
        result
    }

    fn typed(value: Option<Rc<dyn Any>>) -> Rc<T> {
        let Some(Ok(value)) = value.map(Rc::downcast) else {
            unreachable!("a place has the value that it was made for, unless that has panicked")
        };
        value
    }
}

impl<T> Drop for Staying<T> {
    fn drop(&mut self) {
        // After the end of the thread there is no table. The value is dropped when the table is no longer borrowed.
        let _value = TABLE.try_with(|table| {
            let mut table = table.borrow_mut();
            table.free.push(self.place);
            table.values[self.place].take()
        });
    }
}

/// A future that stays in the table.
pub(crate) struct StayingFuture<F: 'static>(Staying<Pin<Box<F>>>);

impl<F: Future> Future for StayingFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.with_mut(|future| future.as_mut().poll(cx))
    }
}

/// Returns a future of the program's as one that can be sent.
pub(crate) fn future<F: Future + 'static>(future: F) -> StayingFuture<F> {
    StayingFuture(Staying::new(Box::pin(future)))
}

/// Shares an object again, while it lives.
type Again = Rc<dyn Fn() -> Option<Object>>;

/// An object of the program's, of which there is one `Shared` at a time.
struct Shared {
    address: usize,
    object: Staying<SharedObject>,
}

struct SharedObject {
    /// An `Arc` of the object.
    object: Box<dyn Any>,
    again: Again,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // After the end of the thread there is no table.
        let _gone = SHARED.try_with(|shared| shared.borrow_mut().remove(&self.address));
    }
}

/// Returns an object of the program's as one that can be sent.
pub(crate) fn share<T: 'static>(object: Arc<T>) -> Object {
    let address = Arc::as_ptr(&object).addr();
    if let Some(shared) = SHARED.with_borrow(|shared| shared.get(&address).and_then(Weak::upgrade)) {
        return shared;
    }
    let weak = Arc::downgrade(&object);
    let again: Again = Rc::new(move || weak.upgrade().map(share));
    let object = Staying::new(SharedObject { object: Box::new(object), again });
    let shared = Arc::new(Shared { address, object });
    SHARED.with_borrow_mut(|all| all.insert(address, Arc::downgrade(&shared)));
    shared
}

/// Returns the object that was [shared](share), if it is a `T`.
pub(crate) fn object_of<T: Any>(object: Object) -> Option<Arc<T>> {
    let shared = object.downcast::<Shared>().ok()?;
    shared.object.with(|shared| shared.object.downcast_ref::<Arc<T>>().cloned())
}

/// An [`Object`] that is not kept: neither it nor what it stands for.
#[derive(Clone)]
pub(crate) struct WeakObject {
    object: Weak<dyn Any + marker::Send + marker::Sync>,
    /// The way to what it stands for, if it is of the program's.
    again: Option<Arc<Staying<Again>>>,
}

pub(crate) fn downgrade(object: &Object) -> WeakObject {
    let shared = object.downcast_ref::<Shared>();
    let again =
        shared.map(|shared| Arc::new(Staying::new(shared.object.with(|shared| shared.again.clone()))));
    WeakObject { object: Arc::downgrade(object), again }
}

impl WeakObject {
    pub(crate) fn upgrade(&self) -> Option<Object> {
        let again = || self.again.as_ref().and_then(|again| again.with(|again| again()));
        self.object.upgrade().or_else(again)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::task::Waker;

    use super::*;

    fn is_sent<T: core::marker::Send + core::marker::Sync>(value: T) -> T {
        value
    }

    /// The places that are taken, and the objects that are shared. A test that is no thread of its own finds some of others.
    fn taken() -> (usize, usize) {
        let places = TABLE.with_borrow(|table| table.values.len() - table.free.len());
        (places, SHARED.with_borrow(HashMap::len))
    }

    /// Something that uses the table while it is dropped.
    struct Nested(Rc<Cell<u32>>, Option<Staying<u32>>);

    impl Drop for Nested {
        fn drop(&mut self) {
            let inner = self.1.take().unwrap();
            self.0.set(self.0.get() + Staying::new(1).with(|one| inner.with(|two| two - one)));
        }
    }

    #[test]
    fn a_value_is_dropped_with_its_place() {
        let (before, dropped) = (taken(), Rc::new(Cell::new(0)));
        let value = is_sent(Staying::new(Nested(dropped.clone(), Some(Staying::new(2)))));
        assert_eq!((value.with(|value| value.0.get()), taken()), (0, (before.0 + 2, before.1)));
        let (place, all) = (value.place, TABLE.with_borrow(|table| table.values.len()));
        drop(value);
        assert_eq!((dropped.get(), taken()), (1, before));
        let again = [Staying::new(3), Staying::new(4)];
        assert!(again.iter().any(|value| value.place == place), "places are used again");
        assert_eq!(TABLE.with_borrow(|table| table.values.len()), all);
    }

    #[test]
    fn what_runs_with_a_value_may_use_the_table() {
        let mut outer = Staying::new(1);
        let sum = outer.with_mut(|outer| {
            *outer += Staying::new(2).with(|two| *two);
            *outer
        });
        assert_eq!((sum, outer.with(|outer| *outer)), (3, 3));
    }

    #[test]
    fn a_future_stays_across_polls() {
        let (before, seen) = (taken(), Rc::new(Cell::new(0)));
        let counted = seen.clone();
        let counting = async move {
            poll_fn(|_| match counted.replace(counted.get() + 1) {
                0 => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
            counted.get()
        };
        let mut counting = is_sent(future(counting));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut counting).poll(&mut cx), Poll::Pending);
        assert_eq!(Pin::new(&mut counting).poll(&mut cx), Poll::Ready(2));
        drop(counting);
        let held = seen.clone();
        drop(future(async move {
            pending::<()>().await;
            drop(held);
        }));
        assert_eq!((Rc::strong_count(&seen), taken()), (1, before));
    }

    #[test]
    #[allow(clippy::arc_with_non_send_sync, reason = "that is the point")]
    fn an_object_is_the_same_each_time() {
        let (before, object) = (taken(), Arc::new(Cell::new(7)));
        let (first, second) = (share(object.clone()), share(object.clone()));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(object_of::<Cell<u8>>(first.clone()).is_none());
        assert!(Arc::ptr_eq(&object_of::<Cell<i32>>(first).unwrap(), &object));
        let weak = downgrade(&second);
        drop(second);
        assert_eq!(Arc::strong_count(&object), 1);
        let again = weak.upgrade().and_then(object_of::<Cell<i32>>);
        assert!(Arc::ptr_eq(&again.unwrap(), &object));
        drop(object);
        assert!(weak.upgrade().is_none());
        drop(weak);
        assert_eq!(taken(), before);
    }
}
