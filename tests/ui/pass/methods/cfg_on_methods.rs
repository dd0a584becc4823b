//! A `#[cfg]` takes a method out of the trait, the client and the dispatcher alike; methods
//! under different ones may share a name.

use capnode::Client;
use capnode_ui::run;

#[capnode::interface]
pub trait Host {
    #[cfg(any())]
    async fn never(&self, of: NoSuchType) -> NoSuchType;

    #[cfg(all())]
    async fn always(&self) -> u32;

    #[cfg(any())]
    async fn either(&self) -> NoSuchType;

    #[cfg(not(any()))]
    async fn either(&self, n: u32) -> u32;

    #[cfg(all())]
    #[cfg(not(any()))]
    async fn both(&self) -> u32;

    async fn last(&self) -> u32;
}

struct Machine;

impl Host for Machine {
    async fn always(&self) -> u32 {
        1
    }

    async fn either(&self, n: u32) -> u32 {
        n
    }

    async fn both(&self) -> u32 {
        3
    }

    async fn last(&self) -> u32 {
        4
    }
}

#[cfg(any())]
#[capnode::interface]
pub trait Gone {
    async fn f(&self) -> NoSuchType;
}

#[capnode::interface]
#[cfg(any())]
pub trait GoneToo {
    async fn f(&self) -> NoSuchType;
}

fn main() {
    run(async {
        let host = HostClient::new(Machine);
        assert_eq!(host.always().await.unwrap(), 1);
        assert_eq!(host.either(2).await.unwrap(), 2);
        assert_eq!(host.both().await.unwrap(), 3);
        assert_eq!(host.last().await.unwrap(), 4);
        assert_eq!(host.cap().invoke::<u32>("last", ()).await.unwrap(), 4);
        assert!(host.cap().invoke::<u32>("never", ()).await.is_err());
    });
}
