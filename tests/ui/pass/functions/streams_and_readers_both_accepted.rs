//! A `Reader` takes a stream of its values, a stream that can fail, and a reader. A `Reader` inside of data does not.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use capnode::{Error, Reader};

#[capnode::interface]
pub trait Depot<T: capnode::Wire> {
    async fn sum(&self, numbers: Reader<u32>) -> u32;
    async fn both(&self, names: capnode::Reader<String>, others: Reader<T>) -> u32;
    async fn maybe(&self, numbers: Option<Reader<u32>>);
}

struct Numbers<T>(VecDeque<T>);

impl<T: Unpin> futures_core::Stream for Numbers<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        Poll::Ready(self.0.pop_front())
    }
}

async fn use_it(depot: DepotClient<u8>) -> Result<(), Error> {
    let _sum: u32 = depot.sum(Numbers([1, 2].into())).await?;
    depot.sum(Numbers([Ok(1), Err(std::io::Error::other("no"))].into())).await?;
    let reader = Reader::from_iter([3]);
    depot.sum(reader).await?;
    depot.both(Numbers(["a".to_owned()].into()), Reader::from_iter([7])).await?;
    depot.maybe(Some(Reader::from_iter([1]))).await
}

fn main() {
    let _ = use_it;
}
