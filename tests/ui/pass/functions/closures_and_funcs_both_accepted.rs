//! Where a function is wanted, a closure and a `Func` will both do; one that returns a `Result`
//! gives its typed error back.

use capnode::{CallError, Func};
use capnode_ui::run;

#[capnode::interface]
pub trait Relay {
    async fn apply(&self, f: Func<fn(u32) -> u32>) -> u32;
    async fn attempt(&self, f: Func<fn(u32) -> Result<u32, String>>) -> Result<u32, String>;
    async fn keep(&self, f: Option<Func<fn(u32) -> u32>>) -> Func<fn(u32) -> u32>;
}

struct Plain;

impl Relay for Plain {
    async fn apply(&self, f: Func<fn(u32) -> u32>) -> u32 {
        f.call(2).await.unwrap()
    }

    async fn attempt(&self, f: Func<fn(u32) -> Result<u32, String>>) -> Result<u32, String> {
        let result: Result<u32, CallError<String>> = f.call(2).await;
        result.map_err(|_| "it failed".to_owned())
    }

    async fn keep(&self, f: Option<Func<fn(u32) -> u32>>) -> Func<fn(u32) -> u32> {
        f.unwrap_or_else(|| Func::new(|n: u32| async move { n }))
    }
}

fn main() {
    run(async {
        let relay = RelayClient::new(Plain);
        let by = 10;
        assert_eq!(relay.apply(move |n: u32| async move { n * by }).await.unwrap(), 20);
        let func = Func::<fn(u32) -> u32>::new(|n: u32| async move { n + 1 });
        assert_eq!(relay.apply(func.clone()).await.unwrap(), 3);
        assert_eq!(relay.attempt(|n: u32| async move { Ok(n) }).await.unwrap(), 2);
        assert!(relay.attempt(|_: u32| async move { Err("no".to_owned()) }).await.is_err());
        let fallible = Func::<fn(u32) -> Result<u32, String>>::fallible(|n: u32| async move { Ok(n) });
        assert_eq!(relay.attempt(fallible).await.unwrap(), 2);
        let kept = relay.keep(Some(func.clone())).await.unwrap();
        assert_eq!(kept.call(4).await.unwrap(), 5);
        assert_eq!(relay.keep(None).await.unwrap().call(4).await.unwrap(), 4);
    });
}
