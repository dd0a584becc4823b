//! One build reports every mistake of a trait, each where it is.

#[capnode::interface(rename_all = "camels")]
pub trait Chat {
    async fn join(&mut self, name: &str) -> &str;
    fn say(&self, (text, times): (String, u32));
    async fn then<T>(&self, value: T);
    #[capnode(propery)]
    async fn topic(&self) -> String;
    async fn right(&self) -> u32;
}

struct Room;

impl Chat for Room {
    async fn join(&mut self, name: &str) -> &str {
        let _ = name;
        ""
    }

    fn say(&self, (text, times): (String, u32)) {
        let _ = (text, times);
    }

    async fn then<T>(&self, value: T) {
        drop(value);
    }

    async fn topic(&self) -> String {
        String::new()
    }

    async fn right(&self) -> u32 {
        3
    }
}

async fn use_it() -> Result<(), capnode::Error> {
    let chat = ChatClient::new(Room);
    let _joined: usize = chat.join("ann").await?.len();
    chat.say(("hi".to_owned(), 3)).await?;
    chat.then(3).await?;
    let _topic: String = chat.topic().await?;
    let _right: u32 = chat.right().await?;
    Ok(())
}

fn main() {}
