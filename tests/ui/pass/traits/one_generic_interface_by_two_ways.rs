//! A generic interface may be extended in several ways, if its parameters are the same in all of them.

use capnode_ui::run;

#[capnode::interface]
pub trait Holder<T, const N: usize> {
    async fn held(&self) -> Vec<T>;
}

#[capnode::interface(extends(Holder<T, 2>))]
pub trait First<T> {}

mod other {
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    pub struct Item(pub u32);

    #[capnode::interface(extends(crate::Holder<Option<T>, N>))]
    pub trait Second<const N: usize, T> {}
}

#[capnode::interface(extends(First<Option<crate::other::Item>>, other::Second<2, crate::other::Item>))]
pub trait Both {}

struct Pair;

impl Holder<Option<other::Item>, 2> for Pair {
    async fn held(&self) -> Vec<Option<other::Item>> {
        vec![None, Some(other::Item(2))]
    }
}

impl First<Option<other::Item>> for Pair {}
impl other::Second<2, other::Item> for Pair {}
impl Both for Pair {}

fn main() {
    run(async {
        let pair = BothClient::new(Pair);
        assert_eq!(pair.held().await.unwrap()[1].as_ref().unwrap().0, 2);
        assert!(pair.as_second().held().await.unwrap()[0].is_none());
    });
}
