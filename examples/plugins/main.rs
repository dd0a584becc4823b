//! Plugins: child processes that can do only what they are handed, in Rust and for Node. One that is killed is started again.
//!
//! ```text
//! npm install --prefix examples/plugins    # For the plugin for Node; without it that one is left out.
//! cargo run --example plugins
//! ```

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use capnode::{Connection, Error, Func, Incoming, Membrane, Node, policy, transport};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// The index of a plugin.
#[capnode::interface]
trait Plugin {
    async fn render(&self, text: &str) -> Result<String, Error>;

    /// Tries to change a setting of the host.
    async fn configure(&self) -> Result<(), Error>;

    /// Never ends. `started` is called when it has begun.
    async fn hang(&self, started: Func<fn()>);
}

/// The index of the host.
#[capnode::interface]
trait Host {
    #[capnode(read)]
    async fn mark(&self) -> String;

    async fn set_mark(&self, mark: String);
}

struct Settings(Mutex<String>);

impl Host for Settings {
    async fn mark(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn set_mark(&self, mark: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }
}

/// The process of a plugin, which is another one after each start.
type Process = Arc<tokio::sync::Mutex<Option<Child>>>;

/// Starts a plugin, and starts it again whenever it has ended. It is handed a `host`.
async fn start(
    host: HostClient,
    command: impl Fn() -> Command + Send + Sync + 'static,
) -> Result<(PluginClient, Process), Error> {
    let (node, process) = (Node::new(host), Process::default());
    let started = process.clone();
    let plugin = capnode::reconnecting(move || {
        let (node, started, mut command) = (node.clone(), started.clone(), command());
        async move {
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
            let connection = node.connect_over::<Connection>(transport::child(&mut child)?).await?;
            *started.lock().await = Some(child);
            Ok(connection)
        }
    });
    Ok((plugin.await?, process))
}

async fn show(name: &str, command: impl Fn() -> Command + Send + Sync + 'static) -> Result<(), Error> {
    println!("{name}");
    // A plugin may read what the host offers, and all that is reached from there, and change nothing.
    let border = Membrane::new(policy::read_only());
    let settings = Settings(Mutex::new("!".to_owned()));
    let (plugin, process) = start(border.wrap(HostClient::new(settings)), command).await?;

    println!("    renders: {}", plugin.render("hello").await?);
    if let Err(error) = plugin.configure().await {
        println!("    may not configure: {error}");
    }

    let begun = Arc::new(Notify::new());
    let tells = begun.clone();
    let hangs = plugin.hang(move || {
        tells.notify_one();
        async {}
    });
    let kills = async {
        begun.notified().await;
        if let Some(child) = process.lock().await.as_mut() {
            child.start_kill()?;
        }
        Ok::<_, Error>(())
    };
    let (hung, killed) = tokio::join!(hangs, kills);
    killed?;
    if let Err(error) = hung {
        println!("    is killed: {:?}, {:?}", error.kind(), error.fate());
    }
    // Waits for the next process.
    println!("    renders again: {}", plugin.render("hello").await?);

    border.revoke(Error::rejected("the host needs no plugin any more"));
    if let Err(error) = plugin.render("hello").await {
        println!("    has lost the host: {error}");
    }
    // Nothing needs the connection any more, so it closes; the plugin sees the end, and exits.
    drop(plugin);
    if let Some(mut child) = process.lock().await.take() {
        println!("    ends: {}", child.wait().await?);
    }
    Ok(())
}

/// The plugin in Rust.
struct Renderer {
    host: HostClient,
}

impl Plugin for Renderer {
    async fn render(&self, text: &str) -> Result<String, Error> {
        Ok(format!("{text}{}", self.host.mark().await?))
    }

    async fn configure(&self) -> Result<(), Error> {
        self.host.set_mark("?".to_owned()).await
    }

    async fn hang(&self, started: Func<fn()>) {
        let _gone = started.call().await;
        std::future::pending().await
    }
}

/// Serves standard input and output until the host closes them.
async fn serve() -> Result<(), Error> {
    let accept = async |incoming: Incoming| {
        Ok::<_, Error>(PluginClient::new(Renderer { host: incoming.connection().index() }))
    };
    let host = Node::builder().authorize(accept).build().serve(transport::stdio()).await?;
    host.closed().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("plugin") {
        return serve().await;
    }
    // This program is its own plugin.
    let this = std::env::current_exe()?;
    show("a plugin in Rust", move || {
        let mut command = Command::new(&this);
        command.arg("plugin");
        command
    })
    .await?;

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    if argument.is_none() && !folder.join("node_modules").exists() {
        println!("no plugin for Node: npm install --prefix {}", folder.display());
        return Ok(());
    }
    let script = argument.map_or_else(|| folder.join("plugin.mjs"), PathBuf::from);
    show("a plugin for Node", move || {
        let mut command = Command::new("node");
        command.arg(&script);
        command
    })
    .await
}
