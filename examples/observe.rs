//! Three processes: their calls as one tree, and the metrics of one of them.
//!
//! ```text
//! cargo run --example observe
//! ```
//!
//! A customer calls a shop, which calls its depot. Each is a process of its own, which this program starts, and writes the
//! spans of its calls to one file. The shop serves its metrics until this program's input ends.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use capnode::{Connection, Listener, Node, NodeBuilder, policy};
use capnode_examples::prometheus::Prometheus;
use capnode_examples::trace;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

#[capnode::interface]
trait Shop {
    /// Sells so many pieces, and returns what they cost.
    async fn order(&self, pieces: u32) -> Result<u32, capnode::Error>;
}

#[capnode::interface]
trait Depot {
    /// Takes so many pieces out of the depot.
    async fn take(&self, pieces: u32) -> Result<(), capnode::Error>;
}

struct Corner(DepotClient);

impl Shop for Corner {
    async fn order(&self, pieces: u32) -> Result<u32, capnode::Error> {
        self.0.take(pieces).await?;
        Ok(pieces * 3)
    }
}

struct Shed;

impl Depot for Shed {
    async fn take(&self, pieces: u32) -> Result<(), capnode::Error> {
        if pieces > 10 { Err(capnode::Error::rejected("so many are not there")) } else { Ok(()) }
    }
}

/// Returns a node that counts calls and traces them. All processes are our own, and trust each other.
fn observed() -> NodeBuilder {
    Node::builder().layer(policy::metrics().and(trace::policy().trust(|_| true)))
}

/// Connects to a process of this example, which understands what comes with a call from the first one on.
async fn connect(url: &str) -> Result<Connection, capnode::Error> {
    observed().build().connect(url).peer_is_capnode().await
}

/// Tells the parent the address, and serves until the process is ended.
async fn serve(node: NodeBuilder, metrics: Prometheus) -> Result<(), Box<dyn Error>> {
    let listener: Listener = node.build().listen("tcp://127.0.0.1:0").await?;
    println!("{}", listener.url());
    println!("http://{}/metrics", metrics.serve().await?);
    std::future::pending().await
}

/// Starts another process. Returns it with the addresses that it tells.
async fn start(arguments: &[&str], file: &Path) -> Result<(Child, String, String), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut next = async || lines.next_line().await?.ok_or_else(|| "the process has ended".into());
    let (url, metrics): (Result<String, Box<dyn Error>>, _) = (next().await, next().await);
    Ok((child, url?, metrics?))
}

async fn order(file: &Path) -> Result<(), Box<dyn Error>> {
    trace::export("customer", file)?;
    let (_depot, depot_url, _) = start(&["depot"], file).await?;
    let (_shop, shop_url, metrics) = start(&["shop", &depot_url], file).await?;
    let connection = connect(&shop_url).await?;
    let shop: ShopClient = connection.index();
    for pieces in [2, 20] {
        match shop.order(pieces).await {
            Ok(price) => println!("{pieces} pieces for {price}"),
            Err(error) => println!("{pieces} pieces: {error}"),
        }
    }
    print!("{}", trace::tree(&trace::read(file)?));
    println!("{metrics}");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["depot", file] => {
            trace::export("depot", Path::new(file))?;
            serve(observed().index(DepotClient::new(Shed)), Prometheus::install()?).await
        }
        ["shop", depot, file] => {
            trace::export("shop", Path::new(file))?;
            let metrics = Prometheus::install()?;
            let depot = connect(depot).await?;
            serve(observed().index(ShopClient::new(Corner(depot.index()))), metrics).await
        }
        [file] => order(Path::new(file)).await,
        _ => {
            let file = std::env::temp_dir().join(format!("observe-{}.spans", std::process::id()));
            let ordered = order(&file).await;
            std::fs::remove_file(PathBuf::from(&file))?;
            ordered
        }
    }
}
