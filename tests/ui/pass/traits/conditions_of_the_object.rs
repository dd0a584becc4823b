//! A `where` clause may say something of the object, which is not said of its clients.

use capnode_ui::run;
use std::fmt::Display;

#[capnode::interface]
trait Shown<T>
where
    Self: Display,
    T: Clone,
{
    async fn show(&self, after: T) -> T;
}

struct Sign;

impl Display for Sign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sign")
    }
}

impl Shown<String> for Sign {
    async fn show(&self, after: String) -> String {
        format!("{after} {self}")
    }
}

fn main() {
    run(async {
        let sign = ShownClient::new(Sign);
        assert_eq!(sign.show("a".into()).await.unwrap(), "a sign");
    });
}
