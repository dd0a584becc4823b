//! A type written `Func<fn(..)>` is one. Any other type of that name has to be called otherwise.

mod own {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Func<F> {
        pub name: String,
        pub of: std::marker::PhantomData<F>,
    }
}

#[capnode::interface]
pub trait Plot {
    async fn plot(&self, function: own::Func<fn(u32) -> u32>);
}

fn main() {}
