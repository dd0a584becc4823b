//! Results of methods arrive as they were returned, also a `Result` by another name.

use capnode::{CallError, Client, Dialect, Error, Func, Node};
use capnode_tests::{ANY, in_memory};

type Outcome<T> = Result<T, String>;
type Nesting = Func<fn(u8) -> Outcome<Outcome<u8>>>;

#[capnode::interface]
trait Inner<T> {
    async fn held(&self) -> T;
}

#[capnode::interface]
trait Results {
    async fn aliased(&self, fails: bool) -> Outcome<u8>;
    async fn nested(&self, level: u8) -> Result<Result<u8, String>, String>;
    async fn nested_alias(&self, level: u8) -> Outcome<Outcome<u8>>;
    async fn optional(&self) -> Option<Outcome<u8>>;
    #[capnode(property)]
    async fn property(&self) -> Outcome<u8>;
    async fn generic(&self, fails: bool) -> InnerClient<Result<u8, String>>;
    async fn function(&self) -> Nesting;
    /// As complex as clippy bears, where it is written.
    async fn fallible(&self) -> Result<Func<fn(String) -> bool>, String>;
    async fn written(&self, fails: bool) -> Result<u8, String>;
}

struct Object;

struct Holding(Result<u8, String>);

fn outcome(fails: bool) -> Result<u8, String> {
    if fails { Err("no".to_owned()) } else { Ok(1) }
}

fn nested(level: u8) -> Result<Result<u8, String>, String> {
    match level {
        0 => Err("outer".to_owned()),
        1 => Ok(Err("inner".to_owned())),
        _ => Ok(Ok(2)),
    }
}

impl Inner<Result<u8, String>> for Holding {
    async fn held(&self) -> Result<u8, String> {
        self.0.clone()
    }
}

impl Results for Object {
    async fn aliased(&self, fails: bool) -> Outcome<u8> {
        outcome(fails)
    }

    async fn nested(&self, level: u8) -> Result<Result<u8, String>, String> {
        nested(level)
    }

    async fn nested_alias(&self, level: u8) -> Outcome<Outcome<u8>> {
        nested(level)
    }

    async fn optional(&self) -> Option<Outcome<u8>> {
        Some(outcome(true))
    }

    async fn property(&self) -> Outcome<u8> {
        outcome(true)
    }

    async fn generic(&self, fails: bool) -> InnerClient<Result<u8, String>> {
        InnerClient::new(Holding(outcome(fails)))
    }

    async fn function(&self) -> Nesting {
        Func::new(|level: u8| async move { nested(level) })
    }

    async fn fallible(&self) -> Result<Func<fn(String) -> bool>, String> {
        Ok(Func::new(|text: String| async move { text.is_empty() }))
    }

    async fn written(&self, fails: bool) -> Result<u8, String> {
        outcome(fails)
    }
}

fn returned<T>(result: Result<T, CallError<String>>) -> Result<T, String> {
    result.map_err(|error| match error {
        CallError::Returned(error) => error,
        CallError::Failed(error) => panic!("the call failed: {error}"),
    })
}

async fn try_all(results: &ResultsClient) -> Result<(), Error> {
    for fails in [false, true] {
        assert_eq!(results.aliased(fails).await?, outcome(fails));
        assert_eq!(results.generic(fails).await?.held().await?, outcome(fails));
        assert_eq!(results.generic(fails).pipeline().held().await?, outcome(fails));
        assert_eq!(returned(results.written(fails).await), outcome(fails));
    }
    let function = results.function().await?;
    for level in 0..3 {
        assert_eq!(returned(results.nested(level).await), nested(level));
        assert_eq!(results.nested_alias(level).await?, nested(level));
        assert_eq!(returned(function.call(level).await), nested(level));
    }
    let is_empty = returned(results.fallible().await).unwrap();
    assert!(is_empty.call(String::new()).await?);
    assert_eq!(results.optional().await?, Some(outcome(true)));
    assert_eq!(results.property().await?, outcome(true));
    // Without the interface the value is the same.
    assert_eq!(results.cap().invoke::<Outcome<u8>>("aliased", (true,)).await?, outcome(true));
    Ok(())
}

#[tokio::test]
async fn a_result_by_another_name_arrives_as_it_was_returned() {
    try_all(&ResultsClient::new(Object)).await.unwrap();
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let (_serving, remote) = in_memory(&Node::new(ResultsClient::new(Object)), dialect).await;
        try_all(&remote).await.unwrap_or_else(|error| panic!("{dialect:?}: {error}"));
    }
}

#[derive(Clone)]
struct Both;

impl Inner<u32> for Both {
    async fn held(&self) -> u32 {
        7
    }
}

impl Inner<String> for Both {
    async fn held(&self) -> String {
        "seven".to_owned()
    }
}

#[capnode::interface]
trait Pair {
    async fn number(&self) -> InnerClient<u32>;
    async fn text(&self) -> InnerClient<String>;
}

struct Pairing(std::sync::Arc<Both>);

impl Pair for Pairing {
    async fn number(&self) -> InnerClient<u32> {
        InnerClient::from_arc(self.0.clone())
    }

    async fn text(&self) -> InnerClient<String> {
        InnerClient::from_arc(self.0.clone())
    }
}

#[tokio::test]
async fn an_object_of_a_generic_interface_is_another_for_other_parameters() {
    let object = || PairClient::new(Pairing(Both.into()));
    for dialect in ANY {
        let pair: PairClient = match dialect {
            None => object(),
            Some(dialect) => in_memory(&Node::new(object()), dialect).await.1,
        };
        let (number, text) = (pair.number().await.unwrap(), pair.text().await.unwrap());
        assert_ne!(number.cap(), text.cap(), "{dialect:?}");
        assert_eq!(number.held().await.unwrap(), 7, "{dialect:?}");
        assert_eq!(text.held().await.unwrap(), "seven", "{dialect:?}");
        if matches!(dialect, None | Some(Dialect::CapnWeb)) {
            assert_eq!(text, pair.text().await.unwrap(), "{dialect:?}");
        }
    }
}
