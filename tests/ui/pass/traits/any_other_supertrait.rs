//! A supertrait may be any trait that is no interface, and one that is extended may be written twice.

use capnode_ui::run;
use std::fmt::{Debug, Display};

trait Has<T> {
    type Item;
    const SIZE: usize;
    fn have(&self) -> T;
}

#[capnode::interface]
trait Named {
    async fn name(&self) -> String;
}

#[capnode::interface(extends(Named))]
trait Counter<T: Clone>:
    Named + Send + Sync + Debug + Unpin + Has<T> + PartialEq<Self> + for<'a> PartialEq<&'a str> + 'static
where
    Self: Display + Sized,
    T: Into<Self>,
    Self::Item: Clone,
{
    async fn same(&self, other: T) -> bool;
}

#[derive(Debug, PartialEq)]
struct Tally(u32);

impl From<u32> for Tally {
    fn from(count: u32) -> Self {
        Self(count)
    }
}

impl PartialEq<&str> for Tally {
    fn eq(&self, other: &&str) -> bool {
        self.to_string() == *other
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl Has<u32> for Tally {
    type Item = u8;
    const SIZE: usize = 4;

    fn have(&self) -> u32 {
        self.0
    }
}

impl Named for Tally {
    async fn name(&self) -> String {
        format!("{self} of {}", Self::SIZE)
    }
}

impl Counter<u32> for Tally {
    async fn same(&self, other: u32) -> bool {
        self.0 == Self::from(other).0 && self.have() == other
    }
}

fn main() {
    run(async {
        let tally = CounterClient::<u32>::new(Tally(3));
        assert!(tally.same(3).await.unwrap());
        assert!(!CounterClient::<u32>::from_arc(std::sync::Arc::new(Tally(3))).same(4).await.unwrap());
        assert_eq!(tally.name().await.unwrap(), "3 of 4");
    });
}
