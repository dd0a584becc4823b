//! A trait, its parameters and the types around it may have any name.
#![allow(non_camel_case_types, dead_code)]

use capnode_ui::run;

#[capnode::interface]
pub trait S {
    async fn f(&self, d: D) -> H;
}

#[capnode::interface]
pub trait T {
    async fn f(&self, t: &str) -> u32;
}

#[capnode::interface]
pub trait Many<S, D, H, T, R, F, Self_> {
    async fn f(&self, s: S, d: D, h: H, t: T, r: R, f: F, this: Self_) -> u32;
}

#[derive(serde::Serialize, serde::Deserialize)]
pub struct D;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct H;

struct Send;
struct Sync;
struct Future;
struct Arc;
struct Call;
struct Cap;
struct Error;
struct Result;
struct Client;
struct Serve;
struct Request;
struct Response;
struct Interface;
struct Method;
struct String;
struct Vec;
struct Option;
fn call() {}
fn serve() {}
fn promise() {}

struct Room;

impl S for Room {
    async fn f(&self, _: D) -> H {
        H
    }
}

impl T for Room {
    async fn f(&self, t: &str) -> u32 {
        t.len() as u32
    }
}

impl Many<u8, u8, u8, u8, u8, u8, u8> for Room {
    async fn f(&self, s: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) -> u32 {
        s.into()
    }
}

fn main() {
    run(async {
        assert!(SClient::new(Room).f(D).await.is_ok());
        assert_eq!(TClient::new(Room).f("a").await.unwrap(), 1);
        assert_eq!(ManyClient::new(Room).f(2, 0, 0, 0, 0, 0, 0).await.unwrap(), 2);
    });
}
