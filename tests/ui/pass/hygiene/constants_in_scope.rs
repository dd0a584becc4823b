//! Constants, statics and unit structs of any name may be in scope: the expansion's own names are none of them.

#![allow(non_upper_case_globals, non_camel_case_types, dead_code, unused_imports)]

use capnode::Func;

const object: u8 = 0;
const m: u8 = 0;
const o: u8 = 0;
const r: u8 = 0;
const _m: u8 = 0;
const _o: u8 = 0;
const _r: u8 = 0;
static client: u8 = 0;
static __c: u8 = 0;
static __d: u8 = 0;
struct __e;
struct __f;
struct __object;
struct __t;
static cap: u8 = 0;
struct f;
struct to;
struct other;
struct from;

mod variants {
    pub enum Variant {
        this,
        index,
        request,
        args,
        value,
        result,
        hasher,
    }
}
use variants::Variant::*;

#[capnode::interface]
trait Parent {
    async fn zero(&self);
}

#[capnode::interface(extends(Parent))]
trait Plain {
    async fn one(&self, word: &str, call: Func<fn(u8) -> u8>) -> u32;
    async fn two(&self) -> Result<u32, String>;
    #[capnode(property)]
    async fn three(&self) -> u32;
}

#[capnode::interface]
trait Generic<T> {
    async fn four(&self, list: Vec<T>) -> Option<T>;
}

fn main() {}
