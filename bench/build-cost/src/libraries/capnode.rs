use super::{Library, count};
use crate::methods::{Method, Ty};

pub const LIBRARY: Library = Library { name: "capnode", interface, main, caller };

fn interface(methods: &[Method]) -> String {
    let mut text = "
    #[capnode::interface]
    pub trait Desk {
"
    .to_owned();
    let head = |method: &Method| {
        let (name, output) = (&method.name, method.kind.output.ty());
        format!("        async fn {name}(&self, {}) -> {output}", method.parameters(borrowed))
    };
    text.extend(methods.iter().map(|method| head(method) + ";\n"));
    text += "    }\n\n    impl Desk for Object {\n";
    text.extend(methods.iter().map(|method| format!("{} {{ {} }}\n", head(method), method.kind.body)));
    text + "    }

    pub fn serve() -> DeskClient {
        DeskClient::new(Object)
    }
"
}

fn borrowed(ty: Ty) -> &'static str {
    match ty {
        Ty::Text => "&str",
        ty => ty.owned(),
    }
}

fn lent(ty: Ty) -> &'static str {
    match ty {
        Ty::Text => "\"hello\"",
        ty => ty.value(),
    }
}

fn main(interfaces: usize) -> String {
    let served: String =
        (0..interfaces).map(|i| format!(".with(\"i{i}\", user_capnode::i{i}::serve())")).collect();
    let calls: String = (0..interfaces).map(|i| format!("    good += use_{i}(&index).await?;\n")).collect();
    format!(
        r#"
use capnode::{{Cap, Node, Object}};

type Good = Result<u32, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {{
    let node = Node::new(Object::new().with("hand", 1){served}.cap());
    let listener = node.listen("ws://127.0.0.1:0").await?;
    let index: Cap = capnode::connect(&listener.url()).await?;
    let mut good = is(index.get::<u32>("hand").await?, 1);
{calls}    println!("{{}}", good - 1);
    Ok(())
}}
"#
    )
}

fn caller(i: usize, methods: &[Method]) -> String {
    let counted = methods.iter().map(|method| {
        let answer = format!("desk.{}({}).await", method.name, method.values(lent));
        count(method, &answer, false)
    });
    format!(
        "
async fn use_{i}(index: &Cap) -> Good {{
    use user_capnode::i{i}::*;
    let desk: DeskClient = index.get(\"i{i}\").await?;
    let mut good = 0;
{}    Ok(good)
}}
",
        counted.collect::<String>()
    )
}
