//! The structure of about 1 KB that is echoed.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: u64,
    pub name: String,
    pub active: bool,
    pub balance: f64,
    pub tags: Vec<String>,
    pub readings: Vec<u32>,
    pub addresses: Vec<Address>,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Address {
    pub street: String,
    pub city: String,
    pub zip: u32,
}

impl Record {
    /// 1 KB as JSON.
    pub fn sample(id: u64) -> Self {
        let address =
            |zip| Address { street: format!("{zip} Long Lane"), city: "Little Town".to_owned(), zip };
        Self {
            id,
            name: "somebody with a \"name\"".to_owned(),
            active: true,
            balance: 1234.5,
            tags: ["red", "green", "blue", "yellow", "black", "white", "grey", "brown"]
                .map(str::to_owned)
                .into(),
            readings: (0..32).map(|n| n * 31_337).collect(),
            addresses: vec![address(12_345), address(67_890)],
            note: "What is written here is of no interest to anybody.\n".repeat(8),
        }
    }
}

#[test]
fn the_sample_takes_about_a_kilobyte() {
    let written = serde_json::to_string(&Record::sample(1)).expect("it is plain data");
    assert!((900..1150).contains(&written.len()), "{} bytes", written.len());
}
