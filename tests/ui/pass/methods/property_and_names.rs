//! Names on the wire are camelCase, or as `rename_all` and `name` say; a property is read.

use capnode::Client;
use capnode_ui::run;

#[capnode::interface]
pub trait Default {
    async fn set_topic(&self, topic: &str) -> String {
        topic.to_owned()
    }

    #[capnode(property)]
    async fn last_topic(&self) -> u32 {
        7
    }

    #[capnode(name = "andThen")]
    async fn then(&self) -> u32 {
        8
    }

    #[capnode(property, name = "length")]
    async fn len(&self) -> u32 {
        9
    }

    async fn r#type(&self) -> u32 {
        10
    }
}

#[capnode::interface(rename_all = "kebab-case", name = "kebab")]
pub trait Kebab {
    async fn set_topic(&self) -> u32 {
        1
    }
}

#[capnode::interface(rename_all = "PascalCase")]
pub trait Pascal {
    async fn set_topic(&self) -> u32 {
        2
    }
}

struct Object;
impl Default for Object {}
impl Kebab for Object {}
impl Pascal for Object {}

fn main() {
    run(async {
        let object = DefaultClient::new(Object);
        assert_eq!(object.cap().invoke::<String>("setTopic", ("x".to_owned(),)).await.unwrap(), "x");
        assert!(object.cap().invoke::<String>("set_topic", ("x".to_owned(),)).await.is_err());
        assert_eq!(object.cap().get::<u32>("lastTopic").await.unwrap(), 7);
        assert_eq!(object.last_topic().await.unwrap(), 7);
        assert_eq!(object.cap().invoke::<u32>("andThen", ()).await.unwrap(), 8);
        assert_eq!(object.then().await.unwrap(), 8);
        assert_eq!(object.cap().get::<u32>("length").await.unwrap(), 9);
        assert_eq!(object.len().await.unwrap(), 9);
        assert_eq!(object.cap().invoke::<u32>("type", ()).await.unwrap(), 10);
        assert_eq!(object.r#type().await.unwrap(), 10);

        let kebab = KebabClient::new(Object);
        assert_eq!(kebab.cap().invoke::<u32>("set-topic", ()).await.unwrap(), 1);
        let pascal = PascalClient::new(Object);
        assert_eq!(pascal.cap().invoke::<u32>("SetTopic", ()).await.unwrap(), 2);
    });
}
