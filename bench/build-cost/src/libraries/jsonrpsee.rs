use super::{Library, count};
use crate::methods::{Method, Output, Ty};

pub const LIBRARY: Library = Library { name: "jsonrpsee", interface, main, caller };

fn interface(methods: &[Method]) -> String {
    let mut text = "
    use jsonrpsee::RpcModule;
    use jsonrpsee::core::{RpcResult, async_trait};
    use jsonrpsee::proc_macros::rpc;
    use jsonrpsee::types::ErrorObjectOwned;

    impl From<Refused> for ErrorObjectOwned {
        fn from(refused: Refused) -> Self {
            Self::owned(1, refused.to_string(), None::<()>)
        }
    }

    #[rpc(client, server)]
    pub trait Desk {
"
    .to_owned();
    let head = |method: &Method| {
        // Every method can fail here, and says so.
        let output = match method.kind.output {
            Output::Plain(ty) => format!("RpcResult<{ty}>"),
            fallible => fallible.ty(),
        };
        format!("        async fn {}(&self, {}) -> {output}", method.name, method.parameters(Ty::owned))
    };
    text.extend(
        methods.iter().map(|method| format!("#[method(name = \"{}\")]\n{};\n", method.name, head(method))),
    );
    text += "    }\n\n    #[async_trait]\n    impl DeskServer for Object {\n";
    text.extend(methods.iter().map(|method| {
        let body = method.kind.body;
        match method.kind.output {
            Output::Plain(_) if body.is_empty() => format!("{} {{ Ok(()) }}\n", head(method)),
            Output::Plain(_) => format!("{} {{ Ok({body}) }}\n", head(method)),
            Output::Fallible(_) => format!("{} {{ {body} }}\n", head(method)),
        }
    }));
    text + "    }

    pub fn serve() -> RpcModule<Object> {
        Object.into_rpc()
    }
"
}

fn main(interfaces: usize) -> String {
    let calls: String = (0..interfaces).map(|i| format!("    good += use_{i}().await?;\n")).collect();
    format!(
        r#"
use jsonrpsee::core::client::ClientT;
use jsonrpsee::server::{{Methods, Server}};
use jsonrpsee::ws_client::WsClientBuilder;
use jsonrpsee::{{RpcModule, rpc_params}};

type Good = Result<u32, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {{
    let mut good = by_hand().await?;
{calls}    println!("{{}}", good - 1);
    Ok(())
}}

async fn by_hand() -> Good {{
    let mut module = RpcModule::new(());
    module.register_method("echo", |params, _, _| params.one::<u32>())?;
    let client = connected(module.into()).await?;
    Ok(is(client.request::<u32, _>("echo", rpc_params![1]).await?, 1))
}}

async fn connected(
    methods: Methods,
) -> Result<jsonrpsee::ws_client::WsClient, Box<dyn std::error::Error>> {{
    let server = Server::builder().build("127.0.0.1:0").await?;
    let url = format!("ws://{{}}", server.local_addr()?);
    tokio::spawn(server.start(methods).stopped());
    Ok(WsClientBuilder::default().build(url).await?)
}}
"#
    )
}

fn caller(i: usize, methods: &[Method]) -> String {
    let counted = methods.iter().map(|method| {
        let answer = format!("desk.{}({}).await", method.name, method.values(Ty::value));
        count(method, &answer, false)
    });
    format!(
        "
async fn use_{i}() -> Good {{
    use user_jsonrpsee::i{i}::*;
    let desk = connected(serve().into()).await?;
    let mut good = 0;
{}    Ok(good)
}}
",
        counted.collect::<String>()
    )
}
