//! Another session of the same objects, which tells that all is well after one was damaged.

use capnode::{Cap, Connection, Dialect, Func, Node, Value};

use super::script::LONG;
use crate::timeless;

/// The name of the function that adds two numbers.
pub const WELL: &str = "is all well";

/// The function of that name.
pub fn well() -> Value {
    Value::Cap(Func::<fn(u32, u32) -> u32>::new(|a: u32, b: u32| async move { a.wrapping_add(b) }).into())
}

/// Opens another session of a node, and returns the calling end.
///
/// # Errors
///
/// If one refuses the other.
pub async fn another(node: &Node, dialect: Dialect) -> Result<Connection, String> {
    let (here, there) = capnode::transport::pair();
    node.serve(there).await.map_err(|error| error.to_string())?;
    let calling = Node::builder().dialect(dialect).limits(timeless()).build();
    calling.connect_over(here).await.map_err(|error| error.to_string())
}

/// Asks the peer of a session whether two and two make four.
///
/// # Errors
///
/// If it does not answer right.
pub async fn check(session: &Connection) -> Result<(), String> {
    let check = async {
        let index: Value = session.index::<Cap>().read().await?;
        match index.member(WELL) {
            Some(Value::Cap(well)) => well.apply::<u32>((20, 22)).await,
            _ => session.index::<Cap>().invoke::<u32>(WELL, (20, 22)).await,
        }
    };
    match tokio::time::timeout(LONG, check).await {
        Ok(Ok(42)) => Ok(()),
        outcome => Err(format!("another session got {outcome:?}")),
    }
}
