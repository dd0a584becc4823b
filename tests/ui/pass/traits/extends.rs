//! An object of an interface that extends others has their methods too, and its client converts to
//! theirs.

use capnode::Client;
use capnode_ui::run;

pub mod base {
    #[capnode::interface]
    pub trait Named {
        async fn name(&self) -> String;
    }

    #[capnode::interface(extends(Named))]
    pub trait Holder<T> {
        async fn held(&self) -> T;
    }
}

#[capnode::interface]
pub trait Seat {
    async fn say(&self, text: &str) -> String;
}

#[capnode::interface(extends(Seat, base::Named, base::Holder<u32>))]
pub trait Moderator: std::fmt::Debug {
    async fn mute(&self, name: &str) -> bool;
    #[cfg(any())]
    async fn gone(&self);
}

#[capnode::interface(extends(Moderator))]
pub trait Owner {}

#[capnode::interface(extends(Owner, base::Holder<u32>))]
pub trait Both<T> {
    async fn first(&self) -> Option<T>;
    /// Takes the place of the method that would give the client of `Holder`.
    async fn as_holder(&self) -> u32;
}

#[derive(Debug)]
struct Ann;

impl base::Named for Ann {
    async fn name(&self) -> String {
        "ann".to_owned()
    }
}

impl base::Holder<u32> for Ann {
    async fn held(&self) -> u32 {
        7
    }
}

impl Seat for Ann {
    async fn say(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Moderator for Ann {
    async fn mute(&self, name: &str) -> bool {
        name.is_empty()
    }
}

impl Owner for Ann {}

impl Both<u32> for Ann {
    async fn first(&self) -> Option<u32> {
        Some(8)
    }

    async fn as_holder(&self) -> u32 {
        9
    }
}

fn main() {
    run(async {
        let owner = OwnerClient::new(Ann);
        // By the client of the first parent, to which each dereferences, also two deep.
        assert_eq!(owner.say("hi").await.unwrap(), "hi");
        assert!(!owner.mute("bob").await.unwrap());
        assert_eq!(owner.as_named().name().await.unwrap(), "ann");
        assert_eq!(owner.as_holder().held().await.unwrap(), 7);
        // A client of a parent is expected.
        fn expects(seat: &SeatClient) -> &SeatClient {
            seat
        }
        assert_eq!(expects(&owner).say("ho").await.unwrap(), "ho");

        let moderator = ModeratorClient::from(owner.clone());
        assert!(!moderator.mute("bob").await.unwrap());
        assert!(moderator.cap().invoke::<u32>("gone", ()).await.is_err());
        let named: base::NamedClient = moderator.clone().into();
        assert_eq!(named.name().await.unwrap(), "ann");
        let seat: SeatClient = moderator.clone().into();
        assert_eq!(seat.say("hi").await.unwrap(), "hi");
        let holder: base::HolderClient<u32> = moderator.into();
        assert_eq!(holder.held().await.unwrap(), 7);
        assert_eq!(holder.name().await.unwrap(), "ann");
        assert_eq!(owner.cap().invoke::<u32>("held", ()).await.unwrap(), 7);

        let both = BothClient::<u32>::new(Ann);
        assert_eq!(both.first().await.unwrap(), Some(8));
        assert_eq!(both.as_holder().await.unwrap(), 9);
        assert_eq!(both.as_named().name().await.unwrap(), "ann");
        assert_eq!(both.say("hi").await.unwrap(), "hi");
        let holder: base::HolderClient<u32> = both.into();
        assert_eq!(holder.held().await.unwrap(), 7);
    });
}
