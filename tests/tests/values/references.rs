//! References inside data of every shape: they arrive in each language, and are what they were.

use std::collections::BTreeMap;
use std::fmt::Debug;

use capnode::{Func, Node, Wire};
use capnode_tests::{ANY, in_memory, soon};
use serde::{Deserialize, Serialize};

#[capnode::interface]
trait Tick {
    async fn tick(&self) -> u32;
    async fn reset(&self, to: u32) -> u32;
}

struct Ticker(u32);

impl Tick for Ticker {
    async fn tick(&self) -> u32 {
        self.0
    }

    async fn reset(&self, to: u32) -> u32 {
        self.0 + to
    }
}

#[capnode::interface]
trait Hand<T: Clone + Debug + Sync> {
    async fn echo(&self, value: T) -> T;
    async fn borrowed(&self, value: &T) -> T;
    #[capnode(property)]
    async fn held(&self) -> T;
}

struct Holder<T>(T);

impl<T: Wire + Clone + Debug + Sync> Hand<T> for Holder<T> {
    async fn echo(&self, value: T) -> T {
        value
    }

    async fn borrowed(&self, value: &T) -> T {
        value.clone()
    }

    async fn held(&self) -> T {
        self.0.clone()
    }
}

type Ticks = Func<fn() -> u32>;

/// The references in a value.
#[derive(Default)]
struct Found {
    clients: Vec<TickClient>,
    functions: Vec<Ticks>,
}

trait Holds: Wire + Clone + Debug + Sync {
    fn find(&self, found: &mut Found);
}

impl Holds for TickClient {
    fn find(&self, found: &mut Found) {
        found.clients.push(self.clone());
    }
}

impl Holds for Ticks {
    fn find(&self, found: &mut Found) {
        found.functions.push(self.clone());
    }
}

macro_rules! collections {
    ($($(<$type:ident>)? $collection:ty),*) => { $(
        impl<T: Holds> Holds for $collection {
            fn find(&self, found: &mut Found) {
                self.iter().for_each(|inside| inside.find(found));
            }
        }
    )* };
}

collections!(Vec<T>, Option<T>, [T; 2], Result<T, String>);

impl<T: Holds> Holds for BTreeMap<String, T> {
    fn find(&self, found: &mut Found) {
        self.values().for_each(|inside| inside.find(found));
    }
}

impl<T: Holds> Holds for Box<T> {
    fn find(&self, found: &mut Found) {
        (**self).find(found);
    }
}

impl<T: Holds, U: Holds> Holds for (T, u8, U) {
    fn find(&self, found: &mut Found) {
        self.0.find(found);
        self.2.find(found);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Field {
    before: String,
    client: TickClient,
    function: Ticks,
    nothing: (),
}

impl Holds for Field {
    fn find(&self, found: &mut Found) {
        self.client.find(found);
        self.function.find(found);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Newtype(TickClient);

impl Holds for Newtype {
    fn find(&self, found: &mut Found) {
        self.0.find(found);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    field: Field,
}

impl Holds for Flat {
    fn find(&self, found: &mut Found) {
        self.field.find(found);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FlatMap {
    id: u8,
    #[serde(flatten)]
    clients: BTreeMap<String, TickClient>,
}

impl Holds for FlatMap {
    fn find(&self, found: &mut Found) {
        self.clients.find(found);
    }
}

macro_rules! enums {
    ($($(#[$attribute:meta])* $name:ident { $($inner:tt)* })*) => { $(
        #[derive(Clone, Debug, Serialize, Deserialize)]
        $(#[$attribute])*
        enum $name { $($inner)* Field(Field), Struct { client: TickClient, more: Option<Ticks> } }

        impl $name {
            fn all() -> Vec<Self> {
                let data = Self::Struct { client: client(1), more: Some(function(2)) };
                vec![data.clone(), Self::Struct { client: client(1), more: None }, Self::Field(field())]
            }
        }

        impl Holds for $name {
            fn find(&self, found: &mut Found) {
                match self {
                    Self::Struct { client, more } => {
                        client.find(found);
                        more.find(found);
                    }
                    Self::Field(field) => field.find(found),
                    #[allow(unreachable_patterns)]
                    other => other.find_more(found),
                }
            }
        }
    )* };
}

enums! {
    External { Client(TickClient), Tuple(TickClient, Ticks), Boxed(Box<External>), }
    #[serde(tag = "t", content = "c")]
    Adjacent { Client(TickClient), Tuple(TickClient, Ticks), }
    #[serde(tag = "t")]
    Internal {}
    #[serde(untagged)]
    Untagged { Number(u8), Client(Newtype), Functions(Vec<Ticks>), }
}

impl External {
    fn find_more(&self, found: &mut Found) {
        match self {
            Self::Boxed(inner) => inner.find(found),
            Self::Client(client) => client.find(found),
            Self::Tuple(client, function) => {
                client.find(found);
                function.find(found);
            }
            _ => {}
        }
    }
}

impl Adjacent {
    fn find_more(&self, found: &mut Found) {
        match self {
            Self::Client(client) => client.find(found),
            Self::Tuple(client, function) => {
                client.find(found);
                function.find(found);
            }
            _ => {}
        }
    }
}

impl Internal {
    fn find_more(&self, _: &mut Found) {}
}

impl Untagged {
    fn find_more(&self, found: &mut Found) {
        match self {
            Self::Client(client) => client.find(found),
            Self::Functions(functions) => functions.find(found),
            _ => {}
        }
    }
}

fn client(number: u32) -> TickClient {
    TickClient::new(Ticker(number))
}

fn function(number: u32) -> Ticks {
    Func::new(move || async move { number })
}

fn field() -> Field {
    Field { before: "text".to_owned(), client: client(3), function: function(4), nothing: () }
}

/// Returns the answers of the references in a value.
async fn answers<T: Holds>(value: &T) -> Vec<u32> {
    let mut found = Found::default();
    value.find(&mut found);
    let mut answers = Vec::new();
    for client in &found.clients {
        answers.push(client.tick().await.unwrap());
        answers.push(client.reset(10).await.unwrap());
    }
    for function in &found.functions {
        answers.push(function.call().await.unwrap());
    }
    answers
}

async fn arrives<T: Holds>(values: Vec<T>) {
    for value in values {
        let expected = answers(&value).await;
        assert!(!expected.is_empty(), "{value:?}");
        let hand = HandClient::new(Holder(value.clone()));
        for dialect in ANY {
            let hand = match dialect {
                Some(dialect) => in_memory(&Node::new(hand.clone()), dialect).await.1,
                None => hand.clone(),
            };
            for (position, come) in [
                ("argument and result", hand.echo(value.clone()).await),
                ("borrowed", hand.borrowed(&value).await),
                ("property", hand.held().await),
            ] {
                let come = come.unwrap_or_else(|error| panic!("{value:?}, {dialect:?}, {position}: {error}"));
                assert_eq!(answers(&come).await, expected, "{value:?}, {dialect:?}, {position}");
            }
        }
    }
}

#[tokio::test]
async fn references_arrive_in_data_of_every_shape() {
    let map = |numbers: [u32; 2]| numbers.map(|number| (format!("k{number}"), client(number))).into();
    soon(arrives(vec![client(1)])).await;
    soon(arrives(vec![function(1)])).await;
    soon(arrives(vec![vec![client(1), client(2)]])).await;
    soon(arrives(vec![Some(client(1))])).await;
    soon(arrives(vec![[function(1), function(2)]])).await;
    soon(arrives(vec![vec![Ok(client(1)), Err("no".to_owned())]])).await;
    soon(arrives::<BTreeMap<_, _>>(vec![map([1, 2])])).await;
    soon(arrives(vec![Box::new(client(1))])).await;
    soon(arrives(vec![(client(1), 5_u8, function(2))])).await;
    soon(arrives(vec![field()])).await;
    soon(arrives(vec![vec![Some(Box::new(field()))]])).await;
    soon(arrives(vec![Newtype(client(1))])).await;
    let twice = client(1);
    soon(arrives(vec![vec![twice.clone(), twice]])).await;
}

#[tokio::test]
async fn references_arrive_in_enums_of_every_representation_and_where_serde_puts_them_aside() {
    let tuples = vec![External::Client(client(1)), External::Tuple(client(1), function(2))];
    let deep = External::Boxed(Box::new(External::Client(client(1))));
    soon(arrives([External::all(), tuples, vec![deep]].concat())).await;
    let tuples = vec![Adjacent::Client(client(1)), Adjacent::Tuple(client(1), function(2))];
    soon(arrives([Adjacent::all(), tuples].concat())).await;
    soon(arrives(Internal::all())).await;
    let untagged =
        vec![Untagged::Client(Newtype(client(1))), Untagged::Functions(vec![function(1), function(2)])];
    soon(arrives([Untagged::all(), untagged].concat())).await;
    soon(arrives(vec![Flat { id: 1, field: field() }])).await;
    let clients = BTreeMap::from([("a".to_owned(), client(1)), ("b".to_owned(), client(2))]);
    soon(arrives(vec![FlatMap { id: 1, clients }])).await;
}
