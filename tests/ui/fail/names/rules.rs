//! A method whose name breaks a rule gives one error, at the name.

#[capnode::interface]
pub trait Chat {
    async fn join(&self, name: &str) -> u32;
    /// Objects of JavaScript have this, like the next two.
    async fn then(&self) -> u32;
    async fn to_string(&self) -> u32;
    #[capnode(property, name = "__proto__")]
    async fn proto(&self) -> u32;
    #[capnode(name = "")]
    async fn not_empty(&self) -> u32;
    /// Under no condition.
    async fn one_method_for_one_name(&self) -> u32;
    /// Neither is this.
    async fn one_method_for_one_name(&self) -> u32;
    /// On the wire, the next two have one name, and so have the last two.
    async fn set_topic(&self) -> u32;
    #[capnode(name = "setTopic")]
    async fn one_wire_name_for_one_method(&self) -> u32;
    async fn leave_(&self) -> u32;
    async fn leave(&self);
}

struct Room;

impl Chat for Room {
    async fn join(&self, name: &str) -> u32 {
        name.len() as u32
    }

    async fn then(&self) -> u32 {
        3
    }

    async fn to_string(&self) -> u32 {
        3
    }

    async fn proto(&self) -> u32 {
        3
    }

    async fn not_empty(&self) -> u32 {
        3
    }

    async fn one_method_for_one_name(&self) -> u32 {
        3
    }

    async fn set_topic(&self) -> u32 {
        3
    }

    async fn one_wire_name_for_one_method(&self) -> u32 {
        3
    }

    async fn leave_(&self) -> u32 {
        3
    }

    async fn leave(&self) {}
}

async fn use_it(chat: ChatClient) -> Result<(), capnode::Error> {
    let _seat: u32 = chat.join("ann").await?;
    chat.then().await?;
    chat.to_string().await?;
    chat.proto().await?;
    chat.not_empty().await?;
    chat.one_method_for_one_name().await?;
    chat.set_topic().await?;
    chat.one_wire_name_for_one_method().await?;
    chat.leave_().await?;
    ChatClient::new(Room).leave().await
}

fn main() {}
