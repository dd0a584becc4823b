//! A client has the methods of its interface and of those it extends. Its `Cap` has those of every reference.

#[capnode::interface]
pub trait Store {
    async fn set(&self, key: &str, value: u32);
}

#[capnode::interface(extends(Store))]
pub trait Admin {
    async fn wipe(&self);
}

async fn calls(store: StoreClient, admin: AdminClient) {
    let _: Option<u32> = store.get("key").await.unwrap();
    let _: Option<u32> = admin.get("key").await.unwrap();
    admin.invoke::<()>("remove", ("key",)).await.unwrap();
    admin.set("key", 1).await.unwrap();
}

fn main() {}
