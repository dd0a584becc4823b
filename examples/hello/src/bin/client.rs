use hello::ChatClient;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("ann".to_owned());
    let url = std::env::args().nth(2).unwrap_or("ws://127.0.0.1:5004".to_owned());

    let chat: ChatClient = capnode::connect(&url).await?;
    let seat = chat.join(&name, |message: String| async move { println!("{message}") }).await?;

    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        seat.say(&line).await?;
    }
    Ok(())
}
