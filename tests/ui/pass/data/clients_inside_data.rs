//! A client may be anywhere in what travels, and is an ordinary value: cheap to clone, equal to
//! others of the same object, a key, and shared by threads.

use capnode::{Cap, Client};
use capnode_ui::run;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[capnode::interface]
pub trait Seat {
    async fn number(&self) -> u32;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    name: String,
    first: SeatClient,
    others: Vec<Option<SeatClient>>,
    by_name: HashMap<String, SeatClient>,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    Free,
    Taken { by: SeatClient },
}

#[capnode::interface]
pub trait Room {
    async fn table(&self) -> Table;
    async fn sit(&self, seat: &SeatClient, table: Table) -> (SeatClient, Vec<SeatClient>);
}

struct Chair(u32);

impl Seat for Chair {
    async fn number(&self) -> u32 {
        self.0
    }
}

struct Hall(SeatClient);

impl Room for Hall {
    async fn table(&self) -> Table {
        Table {
            name: "long".to_owned(),
            first: self.0.clone(),
            others: vec![None, Some(self.0.clone())],
            by_name: HashMap::from([("ann".to_owned(), self.0.clone())]),
            place: Place::Taken { by: self.0.clone() },
        }
    }

    async fn sit(&self, seat: &SeatClient, table: Table) -> (SeatClient, Vec<SeatClient>) {
        (table.first, vec![seat.clone()])
    }
}

fn is_an_ordinary_value<T: Clone + std::fmt::Debug + Eq + std::hash::Hash + Send + Sync + 'static>(_: &T) {}

fn main() {
    run(async {
        let seat = SeatClient::new(Chair(4));
        is_an_ordinary_value(&seat);
        let room = RoomClient::new(Hall(seat.clone()));
        let table = room.table().await.unwrap();
        assert_eq!(table.first, seat);
        assert_eq!(table.others[1].as_ref().unwrap().number().await.unwrap(), 4);
        let (first, others) = room.sit(&seat, table).await.unwrap();
        assert_eq!(HashSet::from([first, others[0].clone(), seat.clone()]).len(), 1);
        assert_ne!(seat, SeatClient::new(Chair(4)));
        let cap: Cap = seat.clone().into();
        assert_eq!(cap, *seat.cap());
        let chair: Arc<Chair> = seat.cap().local().unwrap();
        assert_eq!(chair.0, 4);
    });
}
