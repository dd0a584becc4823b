//! A trait may be private, in a module or a function, unused in part, and made by a macro; nothing
//! of it warns.
#![deny(warnings, unused, unreachable_pub, missing_docs)]

use capnode_ui::run;

#[capnode::interface]
trait Private {
    async fn used(&self) -> u32;
    async fn unused(&self, text: &str, number: u32);
}

#[capnode::interface]
trait Never {
    async fn called(&self);
}

mod inner {
    pub(super) mod deep {
        #[capnode::interface]
        pub(in super::super) trait Restricted {
            async fn used(&self) -> u32;
        }
    }

    #[capnode::interface]
    pub(crate) trait InCrate {
        async fn used(&self) -> u32;
    }

    #[capnode::interface]
    trait Empty {}
}

macro_rules! interface {
    ($name:ident { $($method:ident($argument:ident: $ty:ty) -> $result:ty;)* }) => {
        #[capnode::interface]
        trait $name {
            $(async fn $method(&self, $argument: $ty) -> $result;)*
        }
    };
}

interface!(ByMacro {
    text(text: &str) -> String;
    list(list: Vec<u32>) -> Result<u32, String>;
    call(f: capnode::Func<fn(u32)>) -> ();
});

struct Object;

impl Private for Object {
    async fn used(&self) -> u32 {
        1
    }

    async fn unused(&self, _: &str, _: u32) {}
}

impl Never for Object {
    async fn called(&self) {}
}

impl inner::deep::Restricted for Object {
    async fn used(&self) -> u32 {
        2
    }
}

impl inner::InCrate for Object {
    async fn used(&self) -> u32 {
        3
    }
}

impl ByMacro for Object {
    async fn text(&self, text: &str) -> String {
        text.to_owned()
    }

    async fn list(&self, list: Vec<u32>) -> Result<u32, String> {
        Ok(list.len() as u32)
    }

    async fn call(&self, _: capnode::Func<fn(u32)>) {}
}

fn main() {
    #[capnode::interface]
    trait Local {
        async fn used(&self, of: Type) -> Type;
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Type(u32);

    impl Local for Object {
        async fn used(&self, of: Type) -> Type {
            of
        }
    }

    run(async {
        assert_eq!(PrivateClient::new(Object).used().await.unwrap(), 1);
        assert_eq!(inner::deep::RestrictedClient::new(Object).used().await.unwrap(), 2);
        assert_eq!(inner::InCrateClient::new(Object).used().await.unwrap(), 3);
        assert_eq!(LocalClient::new(Object).used(Type(4)).await.unwrap().0, 4);
        let by_macro = ByMacroClient::new(Object);
        assert_eq!(by_macro.text("a").await.unwrap(), "a");
        assert_eq!(by_macro.list(vec![1, 2]).await.unwrap(), 2);
        by_macro.call(|_: u32| async {}).await.unwrap();
    });
}
