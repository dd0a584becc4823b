//! Errors may hold anything that serde writes, and fields that it skips.

use capnode::{CallError, Value};
use capnode_ui::run;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};

#[derive(Debug, Serialize, Deserialize)]
struct Rich {
    text: String,
    values: BTreeMap<String, Value>,
    #[serde(skip)]
    shared: Arc<Mutex<u32>>,
    #[serde(skip)]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl std::panic::UnwindSafe for Rich {}

impl fmt::Display for Rich {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[capnode::interface]
trait Many<E: capnode::WireError> {
    async fn rich(&self) -> Result<(), Rich>;
    async fn value(&self) -> Result<(), capnode::Error>;
    async fn generic(&self) -> Result<(), E>;
}

struct Failing;

impl Many<String> for Failing {
    async fn rich(&self) -> Result<(), Rich> {
        Err(Rich { text: "rich".into(), values: BTreeMap::new(), shared: Arc::default(), source: None })
    }

    async fn value(&self) -> Result<(), capnode::Error> {
        Err(capnode::Error::rejected("no"))
    }

    async fn generic(&self) -> Result<(), String> {
        Err("generic".into())
    }
}

fn main() {
    run(async {
        let many = ManyClient::<String>::new(Failing);
        assert!(matches!(many.rich().await, Err(CallError::Returned(rich)) if rich.text == "rich"));
        assert!(matches!(many.value().await, Err(CallError::Returned(_))));
        assert!(matches!(many.generic().await, Err(CallError::Returned(text)) if text == "generic"));
    });
}
