//! Types of users in TypeScript, where an attribute of serde says how they are written.

#![cfg(feature = "describe")]
#![allow(missing_docs, dead_code)]

use std::collections::BTreeMap;
use std::marker::PhantomData;

use capnode::describe::{Description, TS};
use capnode::{Cap, Date};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
pub struct Id {
    number: u64,
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.number.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self { number: text.parse()? })
    }
}

#[derive(Serialize, Deserialize, TS)]
#[serde(try_from = "u8")]
pub struct Percent(u8);

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if number > 100 { Err("more than all".to_owned()) } else { Ok(Self(number)) }
    }
}

#[derive(Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct Metres<T> {
    marker: PhantomData<T>,
    length: f64,
}

#[derive(Serialize, Deserialize, TS)]
#[serde(rename_all(serialize = "camelCase", deserialize = "camelCase"))]
pub struct Fields<T> {
    #[ts(as = "String")]
    #[serde(with = "texts")]
    as_text: u32,
    #[ts(type = "\"on\" | \"off\"")]
    #[serde(serialize_with = "texts::serialize", deserialize_with = "texts::deserialize")]
    by_hand: u32,
    #[serde(rename(serialize = "both", deserialize = "both"), alias = "other")]
    renamed: T,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    may_be_left_out: Vec<Cap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<Date>,
    #[serde(skip_serializing, skip_deserializing)]
    absent: u8,
    #[serde(default, skip_serializing)]
    only_read: u8,
    me: Option<Box<Self>>,
}

#[derive(Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    WasSaid {
        line_id: u8,
    },
    #[serde(skip)]
    Never,
    #[serde(untagged)]
    Other(BTreeMap<String, Percent>),
}

#[derive(Serialize, Deserialize, TS)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
#[ts(type = "Array<0 | 1>")]
pub struct Bits {
    #[serde(with = "texts")]
    all: u32,
}

#[derive(Serialize, Deserialize, capnode::describe::ts_rs::TS)]
#[ts(crate = "capnode::describe::ts_rs")]
pub struct Foreign {
    #[serde(rename = "b")]
    a: u8,
}

mod texts {
    use super::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl From<Vec<u8>> for Bits {
    fn from(bits: Vec<u8>) -> Self {
        Self { all: bits.into_iter().map(u32::from).sum() }
    }
}

impl From<Bits> for Vec<u8> {
    fn from(_: Bits) -> Self {
        vec![1]
    }
}

impl Clone for Bits {
    fn clone(&self) -> Self {
        Self { all: self.all }
    }
}

#[capnode::interface]
pub trait Desk {
    async fn all(&self, id: Id, percent: Percent, metres: Metres<u8>) -> Fields<Event>;
    async fn more(&self, bits: Bits, foreign: Foreign);
}

#[test]
fn a_type_is_described_as_serde_writes_it() {
    let description = Description::of::<DeskClient>();
    let declared: Vec<_> = description.types.iter().map(|ty| ty.text.as_str()).collect();
    let expected = [
        "type Bits = Array<0 | 1>;",
        "type Event = { \"kind\": \"was-said\", lineId: number, } | { [key in string]: Percent };",
        "type Fields<T> = { asText: string, byHand: \"on\" | \"off\", both: T, mayBeLeftOut?: Array<any>, \
         option?: Date | null, onlyRead?: number, me?: Fields<T> | null, };",
        "type Foreign = { b: number, };",
        "type Id = string;",
        "type Metres<T> = number;",
        "type Percent = number;",
    ];
    assert_eq!(declared, expected);
}

#[test]
fn a_type_whose_attributes_were_not_accounted_for_is_named() {
    let description = Description::of::<DeskClient>();
    let warnings: Vec<_> = description.warnings().collect();
    let expected = "Foreign: `ts-rs` does not know all attributes of serde: derive `capnode::describe::TS` for it instead";
    assert_eq!(warnings, [expected]);
}
