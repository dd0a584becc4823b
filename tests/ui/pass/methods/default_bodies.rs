//! A method with a body may be left out of an `impl`. The body may borrow, return early and use `?`.

use capnode_ui::run;

#[capnode::interface]
pub trait Shape {
    async fn side(&self) -> f64;

    async fn area(&self) -> f64 {
        let side = self.side().await;
        side * side
    }

    async fn named(&self, name: &str, fallback: String) -> String {
        if name.is_empty() {
            return fallback;
        }
        name.to_uppercase()
    }

    async fn parsed(&self, text: &str) -> Result<u32, String> {
        let number: u32 = text.parse().map_err(|_| format!("{text} is no number"))?;
        Ok(number + 1)
    }
}

struct Square;

impl Shape for Square {
    async fn side(&self) -> f64 {
        3.0
    }
}

struct Circle;

impl Shape for Circle {
    async fn side(&self) -> f64 {
        2.0
    }

    async fn area(&self) -> f64 {
        3.0
    }
}

fn main() {
    run(async {
        let square = ShapeClient::new(Square);
        assert_eq!(square.area().await.unwrap(), 9.0);
        assert_eq!(square.named("", "none".to_owned()).await.unwrap(), "none");
        assert_eq!(square.named("ann", String::new()).await.unwrap(), "ANN");
        assert_eq!(square.parsed("4").await.unwrap(), 5);
        assert!(square.parsed("four").await.is_err());
        assert_eq!(ShapeClient::new(Circle).area().await.unwrap(), 3.0);
    });
}
