use super::{Library, count};
use crate::methods::{Method, Ty};

pub const LIBRARY: Library = Library { name: "tarpc", interface, main, caller };

fn interface(methods: &[Method]) -> String {
    let mut text = "
    #[tarpc::service]
    pub trait Desk {
"
    .to_owned();
    let head = |method: &Method, receiver: &str| {
        let (name, output) = (&method.name, method.kind.output.ty());
        format!("        async fn {name}({receiver}{}) -> {output}", method.parameters(Ty::owned))
    };
    text.extend(methods.iter().map(|method| head(method, "") + ";\n"));
    text += "    }\n\n    impl Desk for Object {\n";
    let receiver = "self, _: tarpc::context::Context, ";
    text.extend(
        methods.iter().map(|method| format!("{} {{ {} }}\n", head(method, receiver), method.kind.body)),
    );
    text + "    }

    pub fn serve() -> ServeDesk<Object> {
        Object.serve()
    }
"
}

fn main(interfaces: usize) -> String {
    let calls: String = (0..interfaces).map(|i| format!("    good += use_{i}().await?;\n")).collect();
    format!(
        r#"
use futures::StreamExt;
use tarpc::client::Config;
use tarpc::context::current;
use tarpc::serde_transport::tcp;
use tarpc::server::{{BaseChannel, Channel, serve}};
use tarpc::tokio_serde::formats::Json;

type Good = Result<u32, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {{
    let mut good = by_hand().await?;
{calls}    println!("{{}}", good - 1);
    Ok(())
}}

async fn by_hand() -> Good {{
    let mut listener = tcp::listen(("127.0.0.1", 0), Json::default).await?;
    let address = listener.local_addr();
    tokio::spawn(async move {{
        let Some(Ok(transport)) = listener.next().await else {{ return }};
        let channel = BaseChannel::with_defaults(transport);
        let echo = serve(|_, number: u32| async move {{ Ok(number) }});
        channel.execute(echo).for_each(async |handler| drop(tokio::spawn(handler))).await;
    }});
    let transport = tcp::connect(address, Json::default).await?;
    let channel = tarpc::client::new::<u32, u32, _>(Config::default(), transport).spawn();
    Ok(is(channel.call(current(), 1).await?, 1))
}}
"#
    )
}

fn caller(i: usize, methods: &[Method]) -> String {
    let counted = methods.iter().map(|method| {
        let answer = format!("desk.{}(current(), {}).await", method.name, method.values(Ty::value));
        count(method, &answer, true)
    });
    format!(
        "
async fn use_{i}() -> Good {{
    use user_tarpc::i{i}::{{serve, *}};
    let mut listener = tcp::listen((\"127.0.0.1\", 0), Json::default).await?;
    let address = listener.local_addr();
    tokio::spawn(async move {{
        let Some(Ok(transport)) = listener.next().await else {{ return }};
        let channel = BaseChannel::with_defaults(transport);
        channel.execute(serve()).for_each(async |handler| drop(tokio::spawn(handler))).await;
    }});
    let transport = tcp::connect(address, Json::default).await?;
    let desk = DeskClient::new(Config::default(), transport).spawn();
    let mut good = 0;
{}    Ok(good)
}}
",
        counted.collect::<String>()
    )
}
