//! Three calls that depend on each other, in the time of one.
//!
//! The line between the two ends takes 50 ms each way. A client that awaits each answer before it makes the next call
//! waits for six ways; a client that pipelines waits for two.
//!
//! ```text
//! cargo run --example accounts
//! ```

use std::time::{Duration, Instant};

use capnode::transport::lines;
use capnode::{Error, Node};
use capnode_examples::line::{Line, watch};
use tokio::net::{TcpListener, TcpStream};

/// The index of the server.
#[capnode::interface]
trait Accounts {
    /// Returns the account for its token.
    async fn authenticate(&self, token: &str) -> AccountClient;
}

/// An account. Holding it is proof enough from here on.
#[capnode::interface]
trait Account {
    /// Returns the profile of the owner.
    async fn profile(&self) -> ProfileClient;
}

/// The profile of a user.
#[capnode::interface]
trait Profile {
    /// Returns the owner's preferred name.
    async fn name(&self) -> String;
}

struct Bank;

#[derive(Clone)]
struct Owner {
    name: String,
}

impl Accounts for Bank {
    async fn authenticate(&self, token: &str) -> AccountClient {
        AccountClient::new(Owner { name: format!("user of {token}") })
    }
}

impl Account for Owner {
    async fn profile(&self) -> ProfileClient {
        ProfileClient::new(self.clone())
    }
}

impl Profile for Owner {
    async fn name(&self) -> String {
        self.name.clone()
    }
}

const DELAY: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(serve(listener));

    let (transport, line) = watch(lines(TcpStream::connect(address).await?), DELAY);
    let accounts: AccountsClient = capnode::connect_over(transport).await?;
    let connection = server.await??;
    println!("Each way takes {DELAY:?}.\n");
    // The two ends greet each other first, which is not counted. The last frame of that precedes the second call's.
    let nobody = [accounts.authenticate("nobody").await?, accounts.authenticate("nobody").await?];

    println!("One after the other:");
    let start = begin(&line);
    let account = accounts.authenticate("ann").await?;
    let profile = account.profile().await?;
    let name = profile.name().await?;
    report(&name, start, &line);

    println!("Pipelined:");
    let start = begin(&line);
    let name = accounts.authenticate("ann").pipeline().profile().pipeline().name().await?;
    report(&name, start, &line);

    drop((accounts, account, profile, nobody));
    // No reference is held any more, so the connection ends by itself.
    connection.closed().await;
    Ok(())
}

async fn serve(listener: TcpListener) -> Result<capnode::Connection, Error> {
    let failed = |error: std::io::Error| Error::rejected(error.to_string());
    let (stream, _) = listener.accept().await.map_err(failed)?;
    let (transport, _) = watch(lines(stream), DELAY);
    Node::new(AccountsClient::new(Bank)).serve(transport).await
}

fn begin(line: &Line) -> Instant {
    line.clear();
    Instant::now()
}

fn report(name: &str, start: Instant, line: &Line) {
    let ways = start.elapsed().as_secs_f64() / DELAY.as_secs_f64();
    let early = line.out_before_first_in();
    println!("    {name}");
    println!("    frames out before the first answer came: {early}");
    println!("    time: {ways:.0} ways\n");
}
