//! A supertrait that is an interface is named in `extends`, in each way of inheriting it.

mod names {
    #[capnode::interface]
    pub trait Named {
        async fn name(&self) -> String;
    }

    #[capnode::interface]
    pub trait Holder<T> {
        async fn held(&self) -> T;
    }

    pub trait Shown: Named {}
}

use names::Named as Titled;

#[capnode::interface]
pub trait Plain: Send + names::Named {}

#[capnode::interface]
pub trait Renamed: Titled {}

#[capnode::interface]
pub trait Clause<T>
where
    Self: names::Holder<T>,
    T: Clone,
{
}

#[capnode::interface(extends(names::Holder<u32>))]
pub trait Indirect: names::Shown {}

fn main() {}
