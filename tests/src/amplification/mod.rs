//! A session that gets one message with a construct in it.

pub mod constructs;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use capnode::sans_io::{Core, Endpoint};
use capnode::{Cap, Dialect, Error, Func, Value};

use self::constructs::{Construct, Taken};

/// The use of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Use {
    /// It is an argument, and comes back as the result.
    Echoed,
    /// It is an argument of a function that takes none.
    Ignored,
    /// It is the result of a call of this side.
    Answered,
}

type Running = Pin<Box<dyn Future<Output = Result<Value, Error>>>>;

/// One side, and the future of a call that it has made.
pub struct Session {
    pub end: Endpoint,
    call: Option<Running>,
}

fn offered() -> Value {
    let echo = Func::<fn(Value) -> Value>::new(|value: Value| async move { value });
    let ignore = Func::<fn()>::new(|| async {});
    Value::from([("echo", Value::Cap(echo.into())), ("ignore", Value::Cap(ignore.into()))])
}

impl Session {
    pub fn pump(&mut self, mut sent: impl FnMut(String)) -> Option<Result<Value, Error>> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut outcome = None;
        loop {
            self.end.settle();
            if let Some(Poll::Ready(ended)) = self.call.as_mut().map(|call| call.as_mut().poll(&mut cx)) {
                self.call = None;
                outcome = Some(ended);
            }
            let mut any = false;
            while let Some(frame) = self.end.core().next_frame() {
                sent(frame);
                any = true;
            }
            if !any {
                return outcome;
            }
        }
    }

    fn exchange(&mut self, frame: &str) -> Vec<String> {
        let mut sent = Vec::new();
        if !frame.is_empty() {
            self.end.core().receive(frame);
        }
        self.pump(|frame| sent.push(frame));
        sent
    }
}

/// A session that is ready for a value, and the frame that brings it.
pub fn start(dialect: Dialect, construct: &Construct, used: Use, n: usize) -> (Session, String) {
    let name = if let Use::Ignored = used { "ignore" } else { "echo" };
    let mut session = match used {
        Use::Answered => {
            let core = Core::builder().dialect(dialect).connecting(());
            let call = match dialect {
                Dialect::Capnode => core.index::<Cap>().read::<Value>(),
                _ => core.index::<Cap>().invoke("echo", ()),
            };
            Session { end: Endpoint::new(core), call: Some(Box::pin(call.into_future())) }
        }
        _ => Session { end: Endpoint::new(Core::accepting(offered())), call: None },
    };
    let sent = session.exchange("");
    let id = |member: &str| {
        let json: serde_json::Value = serde_json::from_str(sent.last().unwrap()).unwrap();
        json[member].clone()
    };
    let frame = match (&construct.value, used) {
        (constructs::Value::Expression(value), Use::Answered) => format!("[\"resolve\",1,{}]", value(n)),
        (constructs::Value::Expression(value), _) => {
            format!("[\"stream\",[\"pipeline\",0,[\"{name}\"],[{}]]]", value(n))
        }
        (constructs::Value::Table(value), Use::Answered) => {
            let (links, value) = value(n, 0);
            let id = id("methodId");
            let links = links.join(",");
            format!(
                "{{\"type\":\"return\",\"methodId\":{id},\"value\":{{\"links\":[{links}],\"value\":{value}}}}}"
            )
        }
        (constructs::Value::Table(value), _) => {
            let sent = session.exchange("{\"type\":\"index\",\"methodId\":\"i\"}");
            let index: serde_json::Value = serde_json::from_str(&sent[0]).unwrap();
            let links = &index["value"]["links"];
            let place = links[0][name]["id"].as_u64().expect("a function") as usize;
            let method = &links[place];
            let (mut links, value) = value(n, 1);
            links.insert(0, format!("[{value}]"));
            let links = links.join(",");
            format!(
                "{{\"type\":\"invocation\",\"methodId\":{method},\"replyId\":\"r\",\
                 \"arguments\":{{\"links\":[{links}],\"value\":{{\"type\":2,\"id\":0}}}}}}"
            )
        }
        (constructs::Value::Tree(value), Use::Answered) => {
            format!("{{\"type\":\"resolve\",\"to\":{},\"resolution\":{}}}", id("from"), value(n, ""))
        }
        (constructs::Value::Tree(value), _) => {
            let value = value(n, "/1/0");
            format!(
                "{{\"type\":\"send\",\"to\":\"\",\"from\":\"c\",\"op\":\"post\",\"args\":[\"{name}\",[{value}]]}}"
            )
        }
    };
    (session, frame)
}

impl Taken {
    /// Returns whether a value in this use was rightly accepted (`taken`) or refused.
    pub fn fits(self, used: Use, taken: bool) -> bool {
        match self {
            Taken::Always => taken || used == Use::Ignored,
            Taken::Never => !taken || used == Use::Ignored,
            Taken::In => taken == (used == Use::Answered) || used == Use::Ignored,
            Taken::AsArgument => taken == (used == Use::Echoed) || used == Use::Ignored,
            Taken::Few => true,
        }
    }
}

pub fn is_result(dialect: Dialect, frame: &str) -> bool {
    match dialect {
        Dialect::CapnWeb => frame.starts_with("[\"resolve\""),
        Dialect::Capnode => frame.starts_with("{\"type\":\"return\""),
        _ => frame.starts_with("{\"type\":\"resolve\"") && !frame.contains("\"resolution\":{\"!\""),
    }
}
