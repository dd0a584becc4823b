//! A type written `Result` is one. Any other type of that name has to be called otherwise.

mod own {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Result<T> {
        pub points: T,
    }
}

#[capnode::interface]
pub trait Game {
    async fn play(&self) -> own::Result<u32>;
}

fn main() {}
