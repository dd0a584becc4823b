//! An argument may have any name, those among them that the emitted code uses itself.

use capnode_ui::run;

#[capnode::interface]
pub trait Words {
    async fn short(&self, o: u32, m: u32, r: &str) -> u32;
    async fn long(&self, object: &str, method: &[u32], request: u32) -> u32;
    async fn kept(&self, r#type: u32, r#async: &str, r#fn: u32) -> u32;
    async fn common(&self, cap: u32, client: u32, args: u32, f: u32, f0: u32, to: u32, other: u32) -> u32;
    async fn unused(&self, _reason: &str);
}

struct Object;

impl Words for Object {
    async fn short(&self, o: u32, m: u32, r: &str) -> u32 {
        o + m + r.len() as u32
    }

    async fn long(&self, object: &str, method: &[u32], request: u32) -> u32 {
        object.len() as u32 + method.len() as u32 + request
    }

    async fn kept(&self, r#type: u32, r#async: &str, r#fn: u32) -> u32 {
        r#type + r#async.len() as u32 + r#fn
    }

    async fn common(&self, cap: u32, client: u32, args: u32, f: u32, f0: u32, to: u32, other: u32) -> u32 {
        cap + client + args + f + f0 + to + other
    }

    async fn unused(&self, _: &str) {}
}

fn main() {
    run(async {
        let words = WordsClient::new(Object);
        assert_eq!(words.short(1, 1, "1").await.unwrap(), 3);
        assert_eq!(words.long("1", &[1], 1).await.unwrap(), 3);
        assert_eq!(words.kept(1, "1", 1).await.unwrap(), 3);
        assert_eq!(words.common(1, 1, 1, 1, 1, 1, 1).await.unwrap(), 7);
        words.unused("").await.unwrap();
    });
}
