//! A type written `Reader<T>` is one. Any other type of that name has to be called otherwise.

mod own {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Reader<T> {
        pub of: T,
    }
}

#[capnode::interface]
pub trait Plot {
    async fn plot(&self, numbers: own::Reader<u32>);
}

fn main() {}
