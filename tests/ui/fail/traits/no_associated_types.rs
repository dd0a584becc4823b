//! A client stands for any object, so that there is no one type.

#[capnode::interface]
pub trait Store {
    type Item;
    async fn get(&self, key: &str) -> Option<Self::Item>;
    async fn put(&self, key: &str, item: Self::Item);
}

struct Memory;

impl Store for Memory {
    type Item = u32;

    async fn get(&self, _: &str) -> Option<u32> {
        None
    }

    async fn put(&self, _: &str, _: u32) {}
}

async fn use_it(store: StoreClient) -> Result<(), capnode::Error> {
    let _store = StoreClient::new(Memory);
    store.put("a", 3).await
}

fn main() {}
