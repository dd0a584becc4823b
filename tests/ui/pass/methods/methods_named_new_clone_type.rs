//! A method may have a name that the client, Rust or the library uses itself.

use capnode::CallError;
use capnode_ui::run;
use std::sync::Arc;

#[capnode::interface]
pub trait Odd {
    async fn new(&self) -> u32;
    async fn from_arc(&self) -> u32;
    async fn promise(&self) -> u32;
    async fn clone(&self) -> u32;
    async fn r#type(&self, r#match: u32) -> u32;
    async fn dispatch(&self, object: u32, method: u32, request: u32) -> u32;
    async fn from_cap(&self, cap: u32) -> u32;
    async fn fmt(&self, f: &str) -> u32;
    async fn eq(&self, other: u32) -> Result<bool, String>;
    async fn hash(&self) -> u64;
    async fn serialize(&self) -> String;
    async fn deref(&self) -> u32;
    async fn call(&self) -> u32;
    async fn get(&self) -> u32;
    async fn local(&self) -> u32;
}

struct Thing;

impl Odd for Thing {
    async fn new(&self) -> u32 {
        1
    }

    async fn from_arc(&self) -> u32 {
        2
    }

    async fn promise(&self) -> u32 {
        3
    }

    async fn clone(&self) -> u32 {
        4
    }

    async fn r#type(&self, r#match: u32) -> u32 {
        r#match
    }

    async fn dispatch(&self, object: u32, method: u32, request: u32) -> u32 {
        object + method + request
    }

    async fn from_cap(&self, cap: u32) -> u32 {
        cap
    }

    async fn fmt(&self, f: &str) -> u32 {
        f.len() as u32
    }

    async fn eq(&self, other: u32) -> Result<bool, String> {
        Ok(other == 0)
    }

    async fn hash(&self) -> u64 {
        5
    }

    async fn serialize(&self) -> String {
        "6".to_owned()
    }

    async fn deref(&self) -> u32 {
        7
    }

    async fn call(&self) -> u32 {
        8
    }

    async fn get(&self) -> u32 {
        9
    }

    async fn local(&self) -> u32 {
        10
    }
}

fn main() {
    run(async {
        let odd = capnode::serve::<OddClient, _>(Arc::new(Thing));
        assert_eq!(odd.new().await.unwrap(), 1);
        assert_eq!(odd.from_arc().await.unwrap(), 2);
        assert_eq!(odd.promise().await.unwrap(), 3);
        assert_eq!(odd.clone().await.unwrap(), 4);
        assert_eq!(odd.r#type(5).await.unwrap(), 5);
        assert_eq!(odd.dispatch(1, 2, 3).await.unwrap(), 6);
        assert_eq!(odd.from_cap(7).await.unwrap(), 7);
        assert_eq!(odd.fmt("8").await.unwrap(), 1);
        let equal: Result<bool, CallError<String>> = odd.eq(0).await;
        assert!(equal.unwrap());
        assert_eq!(odd.hash().await.unwrap(), 5);
        assert_eq!(odd.serialize().await.unwrap(), "6");
        assert_eq!(odd.deref().await.unwrap(), 7);
        assert_eq!(odd.call().await.unwrap(), 8);
        assert_eq!(odd.get().await.unwrap(), 9);
        assert_eq!(odd.local().await.unwrap(), 10);

        let same = Clone::clone(&odd);
        assert!(same == odd);
        let (promised, resolver) = capnode::promise::<OddClient>();
        resolver.resolve(odd);
        assert_eq!(promised.new().await.unwrap(), 1);
    });
}
