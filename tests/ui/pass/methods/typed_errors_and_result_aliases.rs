//! `Result<T, E>` gives the caller `CallError<E>`, also through an alias of that name.

use capnode::{Call, CallError};
use capnode_ui::run;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum JoinError {
    Full { seats: u32 },
    Banned,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot join")
    }
}

pub mod alias {
    pub type Result<T> = std::result::Result<T, super::JoinError>;
}

#[capnode::interface]
pub trait Door {
    async fn plain(&self) -> u32;
    async fn typed(&self, ok: bool) -> Result<u32, JoinError>;
    async fn in_full(&self) -> std::result::Result<(), JoinError>;
    async fn aliased(&self) -> alias::Result<String>;
    #[capnode(property)]
    async fn state(&self) -> Result<u32, JoinError>;
}

struct Locked;

impl Door for Locked {
    async fn plain(&self) -> u32 {
        1
    }

    async fn typed(&self, ok: bool) -> Result<u32, JoinError> {
        if ok { Ok(2) } else { Err(JoinError::Full { seats: 7 }) }
    }

    async fn in_full(&self) -> Result<(), JoinError> {
        Err(JoinError::Banned)
    }

    async fn aliased(&self) -> alias::Result<String> {
        Err(JoinError::Banned)
    }

    async fn state(&self) -> Result<u32, JoinError> {
        Ok(3)
    }
}

fn main() {
    run(async {
        let door = DoorClient::new(Locked);
        let plain: Call<u32> = door.plain();
        let typed: Call<u32, CallError<JoinError>> = door.typed(true);
        let aliased: Call<String, CallError<JoinError>> = door.aliased();
        assert_eq!(plain.await.unwrap(), 1);
        assert_eq!(typed.await.unwrap(), 2);
        assert!(aliased.await.is_err());
        assert!(door.typed(false).await.is_err());
        assert!(door.in_full().await.is_err());
        assert_eq!(door.state().await.unwrap(), 3);
    });
}
