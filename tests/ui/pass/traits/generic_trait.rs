//! Type parameters of a trait are bound by `Wire` unsaid; there may be bounds, defaults and
//! constants.

use capnode::Wire;
use capnode_ui::run;
use std::collections::HashMap;
use std::sync::Mutex;

#[capnode::interface]
pub trait Store<T> {
    async fn put(&self, key: &str, value: T) -> Option<T>;
    async fn get(&self, key: &str) -> Option<T>;
}

#[capnode::interface]
pub trait Grid<T: Clone + Sync = u32, const N: usize = 2>
where
    T: PartialEq,
{
    async fn count(&self, of: &T, row: &[T]) -> [T; 2];
    async fn width(&self) -> usize {
        N
    }
}

struct Memory<T>(Mutex<HashMap<String, T>>);

impl<T: Wire + Clone> Store<T> for Memory<T> {
    async fn put(&self, key: &str, value: T) -> Option<T> {
        self.0.lock().unwrap().insert(key.to_owned(), value)
    }

    async fn get(&self, key: &str) -> Option<T> {
        self.0.lock().unwrap().get(key).cloned()
    }
}

struct Rows;

impl Grid<String, 3> for Rows {
    async fn count(&self, of: &String, row: &[String]) -> [String; 2] {
        [of.clone(), row.concat()]
    }
}

impl Grid for Rows {
    async fn count(&self, of: &u32, row: &[u32]) -> [u32; 2] {
        [*of, row.len() as u32]
    }
}

fn main() {
    run(async {
        let store: StoreClient<u32> = StoreClient::new(Memory(Mutex::default()));
        assert_eq!(store.put("a", 1).await.unwrap(), None);
        assert_eq!(store.clone().get("a").await.unwrap(), Some(1));
        let texts = StoreClient::<String>::new(Memory(Mutex::default()));
        texts.put("a", "b".to_owned()).await.unwrap();

        let grid = GridClient::<String, 3>::new(Rows);
        let count = grid.count(&"a".to_owned(), &["b".to_owned(), "c".to_owned()]).await.unwrap();
        assert_eq!(count, ["a", "bc"]);
        assert_eq!(grid.width().await.unwrap(), 3);
        let grid: GridClient = GridClient::new(Rows);
        assert_eq!(grid.width().await.unwrap(), 2);
        assert_eq!(grid.count(&1, &[5]).await.unwrap(), [1, 1]);
    });
}
