//! `&str`, `&[T]` and `&T` are lent by the caller, and lent to the object.

use capnode_ui::run;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub struct Point {
    x: i32,
    y: i32,
}

#[capnode::interface]
pub trait Desk {
    async fn text(&self, text: &str) -> usize;
    async fn list(&self, points: &[Point]) -> i32;
    async fn one(&self, point: &Point) -> i32;
    async fn mixed(&self, prefix: &str, point: Point, names: &[String], suffix: &str) -> String;
}

struct Plain;

impl Desk for Plain {
    async fn text(&self, text: &str) -> usize {
        text.len()
    }

    async fn list(&self, points: &[Point]) -> i32 {
        points.iter().map(|point| point.x).sum()
    }

    async fn one(&self, point: &Point) -> i32 {
        point.y
    }

    async fn mixed(&self, prefix: &str, point: Point, names: &[String], suffix: &str) -> String {
        format!("{prefix}{}{}{suffix}", point.x, names.join("+"))
    }
}

fn main() {
    run(async {
        let desk = DeskClient::new(Plain);
        let point = Point { x: 3, y: 4 };
        let text = String::from("four");
        assert_eq!(desk.text(&text).await.unwrap(), 4);
        assert_eq!(desk.list(&[point.clone(), point.clone()]).await.unwrap(), 6);
        assert_eq!(desk.one(&point).await.unwrap(), 4);
        let names = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(desk.mixed("<", point, &names, ">").await.unwrap(), "<3a+b>");
    });
}
