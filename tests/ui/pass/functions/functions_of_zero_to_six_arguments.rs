//! A `Func` takes up to six arguments, and a closure will do for each.

use capnode::Func;
use capnode_ui::run;

#[capnode::interface]
pub trait Caller {
    async fn none(&self, f: Func<fn() -> u32>) -> u32;
    async fn one(&self, f: Func<fn(u32) -> u32>) -> u32;
    async fn two(&self, f: Func<fn(u32, String) -> u32>) -> u32;
    async fn three(&self, f: Func<fn(u32, u32, u32) -> u32>) -> u32;
    async fn four(&self, f: Func<fn(u32, u32, u32, u32) -> u32>) -> u32;
    async fn five(&self, f: Func<fn(u32, u32, u32, u32, u32) -> u32>) -> u32;
    async fn six(&self, f: Func<fn(a: u32, b: u32, c: u32, d: u32, e: u32, f: u32) -> u32>) -> u32;
    async fn without_result(&self, f: Func<fn(u32)>);
    async fn two_functions(&self, f: Func<fn(u32) -> u32>, g: capnode::Func<fn(u32) -> u32>) -> u32;
}

struct Plain;

impl Caller for Plain {
    async fn none(&self, f: Func<fn() -> u32>) -> u32 {
        f.call().await.unwrap()
    }

    async fn one(&self, f: Func<fn(u32) -> u32>) -> u32 {
        f.call(1).await.unwrap()
    }

    async fn two(&self, f: Func<fn(u32, String) -> u32>) -> u32 {
        f.call(1, "a".to_owned()).await.unwrap()
    }

    async fn three(&self, f: Func<fn(u32, u32, u32) -> u32>) -> u32 {
        f.call(1, 1, 1).await.unwrap()
    }

    async fn four(&self, f: Func<fn(u32, u32, u32, u32) -> u32>) -> u32 {
        f.call(1, 1, 1, 1).await.unwrap()
    }

    async fn five(&self, f: Func<fn(u32, u32, u32, u32, u32) -> u32>) -> u32 {
        f.call(1, 1, 1, 1, 1).await.unwrap()
    }

    async fn six(&self, f: Func<fn(u32, u32, u32, u32, u32, u32) -> u32>) -> u32 {
        f.call(1, 1, 1, 1, 1, 1).await.unwrap()
    }

    async fn without_result(&self, f: Func<fn(u32)>) {
        f.call(1).await.unwrap();
    }

    async fn two_functions(&self, f: Func<fn(u32) -> u32>, g: Func<fn(u32) -> u32>) -> u32 {
        g.call(f.call(1).await.unwrap()).await.unwrap()
    }
}

fn main() {
    run(async {
        let caller = CallerClient::new(Plain);
        assert_eq!(caller.none(|| async { 0 }).await.unwrap(), 0);
        assert_eq!(caller.one(|a: u32| async move { a }).await.unwrap(), 1);
        assert_eq!(caller.two(|a: u32, b: String| async move { a + b.len() as u32 }).await.unwrap(), 2);
        assert_eq!(caller.three(|a: u32, b: u32, c: u32| async move { a + b + c }).await.unwrap(), 3);
        let four = |a: u32, b: u32, c: u32, d: u32| async move { a + b + c + d };
        assert_eq!(caller.four(four).await.unwrap(), 4);
        let five = |a: u32, b: u32, c: u32, d: u32, e: u32| async move { a + b + c + d + e };
        assert_eq!(caller.five(five).await.unwrap(), 5);
        let six = |a: u32, b: u32, c: u32, d: u32, e: u32, f: u32| async move { a + b + c + d + e + f };
        assert_eq!(caller.six(six).await.unwrap(), 6);
        caller.without_result(|_: u32| async {}).await.unwrap();
        let double = |n: u32| async move { n * 2 };
        assert_eq!(caller.two_functions(double, double).await.unwrap(), 4);
    });
}
