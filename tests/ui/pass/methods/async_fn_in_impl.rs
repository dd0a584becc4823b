//! An `impl` is an ordinary one: `async fn`, or a function that returns a future.

use capnode::Client;
use capnode_ui::run;
use std::future::Future;

#[capnode::interface]
pub trait Counter {
    async fn add(&self, amount: u32) -> u32;
    async fn reset(&self);
    async fn total(&self) -> u32;
}

#[derive(Default)]
struct Tally(std::sync::Mutex<u32>);

impl Counter for Tally {
    async fn add(&self, amount: u32) -> u32 {
        let mut total = self.0.lock().unwrap();
        *total += amount;
        *total
    }

    async fn reset(&self) {
        *self.0.lock().unwrap() = 0;
    }

    fn total(&self) -> impl Future<Output = u32> + Send {
        std::future::ready(*self.0.lock().unwrap())
    }
}

fn main() {
    run(async {
        let counter = CounterClient::new(Tally::default());
        assert_eq!(counter.add(2).await.unwrap(), 2);
        assert_eq!(counter.add(3).await.unwrap(), 5);
        assert_eq!(counter.total().await.unwrap(), 5);
        counter.reset().await.unwrap();

        let tally = counter.cap().local::<Tally>().unwrap();
        assert_eq!(*tally.0.lock().unwrap(), 0);
        assert_eq!(CounterClient::from_arc(tally).total().await.unwrap(), 0);
    });
}
