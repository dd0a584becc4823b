//! Types decide, not their names: a `Result` by an alias whose parameters have another order, a `Func` by another name,
//! and a user's types that have one of these names.

use capnode::{Call, CallError, Func as Callback};
use capnode_ui::run;

mod own {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub struct Func<T> {
        pub slope: T,
    }

    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub enum Result<T> {
        Points(T),
    }
}

pub type Result<E, T = ()> = std::result::Result<T, E>;
type Outcome = own::Result<u32>;
type Signature = fn(u32) -> u32;
type Handler = Callback<fn(u32)>;

#[capnode::interface]
trait Game {
    async fn play(&self, fails: bool) -> Result<String, u32>;
    async fn end(&self) -> Result<String>;
    async fn outcome(&self) -> Outcome;
    async fn plot(&self, line: own::Func<u32>) -> own::Func<Vec<u32>>;
    async fn call(&self, handler: Handler, f: Callback<Signature>, g: Callback<fn(u32) -> u32>) -> u32;
}

struct Table;

impl Game for Table {
    async fn play(&self, fails: bool) -> Result<String, u32> {
        if fails { Err("no".to_owned()) } else { Ok(1) }
    }

    async fn end(&self) -> Result<String> {
        Err("over".to_owned())
    }

    async fn outcome(&self) -> Outcome {
        own::Result::Points(3)
    }

    async fn plot(&self, line: own::Func<u32>) -> own::Func<Vec<u32>> {
        own::Func { slope: vec![line.slope] }
    }

    async fn call(&self, handler: Handler, f: Callback<Signature>, g: Callback<fn(u32) -> u32>) -> u32 {
        handler.call(1).await.unwrap();
        f.call(2).await.unwrap() + g.call(3).await.unwrap()
    }
}

fn main() {
    run(async {
        let game = GameClient::new(Table);
        let play: Call<u32, CallError<String>> = game.play(false);
        assert_eq!(play.await.unwrap(), 1);
        assert!(matches!(game.play(true).await, Err(CallError::Returned(text)) if text == "no"));
        assert!(matches!(game.end().await, Err(CallError::Returned(text)) if text == "over"));
        assert_eq!(game.outcome().await.unwrap(), own::Result::Points(3));
        assert_eq!(game.plot(own::Func { slope: 2 }).await.unwrap(), own::Func { slope: vec![2] });
        let function = || Callback::new(|number: u32| async move { number * 2 });
        let called = game.call(Callback::new(|_: u32| async {}), function(), function());
        assert_eq!(called.await.unwrap(), 10);
    });
}
