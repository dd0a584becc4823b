//! Three calls that depend on each other, in the time of one.
//!
//! The line between the two ends takes 50 ms each way. A client that awaits each answer before it makes the next call
//! waits for six ways; a client that pipelines waits for two.
//!
//! ```text
//! cargo run --example accounts
//! ```

use std::time::{Duration, Instant};

use capnode::Node;
use capnode::testing::Line;
use capnode_examples::frames::Frames;

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
    let frames = Frames::default();
    let (client, server) = frames.on(Line::new().delay(DELAY)).ends();
    let connection = Node::new(AccountsClient::new(Bank)).serve(server).await?;
    let accounts: AccountsClient = capnode::connect_over(client).await?;
    println!("Each way takes {DELAY:?}.\n");
    // The two ends greet each other first, which is not counted. The last frame of that precedes the second call's.
    let nobody = [accounts.authenticate("nobody").await?, accounts.authenticate("nobody").await?];

    println!("One after the other:");
    let start = begin(&frames);
    let account = accounts.authenticate("ann").await?;
    let profile = account.profile().await?;
    let name = profile.name().await?;
    report(&name, start, &frames);

    println!("Pipelined:");
    let start = begin(&frames);
    let name = accounts.authenticate("ann").pipeline().profile().pipeline().name().await?;
    report(&name, start, &frames);

    drop((accounts, account, profile, nobody));
    // No reference is held any more, so the connection ends by itself.
    connection.closed().await;
    Ok(())
}

fn begin(frames: &Frames) -> Instant {
    frames.clear();
    Instant::now()
}

fn report(name: &str, start: Instant, frames: &Frames) {
    let ways = start.elapsed().as_secs_f64() / DELAY.as_secs_f64();
    let early = frames.out_before_first_in();
    println!("    {name}");
    println!("    frames out before the first answer came: {early}");
    println!("    time: {ways:.0} ways\n");
}
