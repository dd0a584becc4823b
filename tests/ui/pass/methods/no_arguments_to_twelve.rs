//! A method takes up to twelve arguments.

use capnode_ui::run;

#[capnode::interface]
pub trait Sum {
    async fn of_none(&self) -> u32 {
        0
    }

    #[allow(clippy::too_many_arguments)]
    async fn of_twelve(
        &self,
        a: u32,
        b: &str,
        c: u32,
        d: &[u32],
        e: u32,
        f: u32,
        g: u32,
        h: &u32,
        i: u32,
        j: u32,
        k: u32,
        l: u32,
    ) -> u32 {
        a + b.len() as u32 + c + d.iter().sum::<u32>() + e + f + g + h + i + j + k + l
    }
}

struct Adder;
impl Sum for Adder {}

fn main() {
    run(async {
        let sum = SumClient::new(Adder);
        assert_eq!(sum.of_none().await.unwrap(), 0);
        assert_eq!(sum.of_twelve(1, "a", 1, &[1], 1, 1, 1, &1, 1, 1, 1, 1).await.unwrap(), 12);
    });
}
