//! Interfaces in a crate for which capnode has another name: there is no `::capnode` here.

/// Reaches capnode by a path.
mod reexports {
    pub(crate) mod deep {
        pub(crate) use renamed as library;
    }
}

/// By its other name.
#[renamed::interface(crate = renamed)]
pub trait Chat {
    /// Says something.
    async fn say(&self, text: &str, heard: renamed::Func<fn(u32)>) -> Result<u32, String>;
}

/// By its other name as others write it, with a parent and a type parameter.
#[renamed::interface(crate = ::renamed, extends(Chat))]
pub trait Child<T> {
    /// Gives it back.
    async fn put(&self, value: T) -> T;
}

/// By a path in a string.
#[renamed::interface(crate = "reexports::deep::library")]
pub trait ByPath {
    /// Three.
    #[capnode(property)]
    async fn three(&self) -> u32 {
        3
    }
}
