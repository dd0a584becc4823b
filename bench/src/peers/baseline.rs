//! The baseline: the least cost of any JSON over a socket. No library, only tokio and serde_json: a task a side that reads
//! all there is, answers in place, and writes all waiting frames in one go.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use base64::prelude::{BASE64_STANDARD, Engine};
use futures::channel::oneshot;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::peer::{Client, Peer, call_all};
use crate::record::Record;
use crate::socket::Socket;

#[derive(Default)]
pub struct Baseline;

#[derive(Serialize, Deserialize)]
enum Request {
    Add(u32, u32),
    Echo(Box<Record>),
    Bytes(String),
    CallBack(u32, u32),
    Increment(u32),
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Number(u32),
    Sum(u64),
    Record(Box<Record>),
    Bytes(String),
}

/// A line of JSON.
#[derive(Serialize, Deserialize)]
enum Message {
    #[serde(rename = "c")]
    Call(u32, Request),
    #[serde(rename = "a")]
    Answer(u32, Answer),
}

#[derive(Default)]
struct State {
    unwritten: Vec<u8>,
    /// The callers that wait for an answer, by number. Free places are in `free`.
    waiting: Vec<Option<oneshot::Sender<Answer>>>,
    free: VecDeque<u32>,
    driver: Option<Waker>,
    closed: bool,
}

/// Both ends are alike.
#[derive(Clone, Default)]
struct End(Arc<Mutex<State>>);

impl End {
    fn start(socket: Socket) -> Self {
        let end = Self::default();
        let mut connection = Connection {
            socket,
            end: end.clone(),
            input: vec![0; 32 << 10],
            filled: 0,
            output: Vec::new(),
            written: 0,
            gathering: false,
        };
        tokio::spawn(std::future::poll_fn(move |cx| connection.poll(cx)));
        end
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics")
    }

    async fn call(&self, request: Request) -> Answer {
        let (sender, answer) = oneshot::channel();
        self.state().call(request, sender);
        answer.await.expect("the connection lasts")
    }

    async fn number(&self, request: Request) -> u32 {
        match self.call(request).await {
            Answer::Number(number) => number,
            _ => panic!("a wrong answer"),
        }
    }

    fn receive(&self, line: &[u8]) {
        match serde_json::from_slice(line).expect("a message") {
            Message::Call(number, request) => {
                let answer = match request {
                    Request::Add(a, b) => Answer::Number(a + b),
                    Request::Echo(record) => Answer::Record(record),
                    Request::Bytes(text) => {
                        let bytes = BASE64_STANDARD.decode(text).expect("base64");
                        Answer::Bytes(BASE64_STANDARD.encode(bytes))
                    }
                    Request::Increment(value) => Answer::Number(value + 1),
                    Request::CallBack(calls, in_flight) => {
                        let end = self.clone();
                        tokio::spawn(async move {
                            let one = |value| end.number(Request::Increment(value));
                            let sum = call_all(calls, in_flight, one).await;
                            end.state().write(&Message::Answer(number, Answer::Sum(sum)));
                        });
                        return;
                    }
                };
                self.state().write(&Message::Answer(number, answer));
            }
            Message::Answer(number, answer) => {
                let mut state = self.state();
                let caller = state.waiting[number as usize].take().expect("somebody waits");
                state.free.push_back(number);
                let _gone = caller.send(answer);
            }
        }
    }
}

impl State {
    fn call(&mut self, request: Request, caller: oneshot::Sender<Answer>) {
        let number = self.free.pop_front().unwrap_or(self.waiting.len() as u32);
        match self.waiting.get_mut(number as usize) {
            Some(place) => *place = Some(caller),
            None => self.waiting.push(Some(caller)),
        }
        self.write(&Message::Call(number, request));
    }

    fn write(&mut self, message: &Message) {
        serde_json::to_writer(&mut self.unwritten, message).expect("it is plain data");
        self.unwritten.push(b'\n');
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

struct Connection {
    socket: Socket,
    end: End,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    written: usize,
    /// `true` if other tasks have their turn before the waiting output is written.
    gathering: bool,
}

impl Connection {
    /// Ready at the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // It needs no waking now, and its own answers shall not wake it.
        let called = {
            let mut state = self.end.state();
            state.driver = None;
            !state.unwritten.is_empty()
        };
        if self.poll_read(cx).is_ready() {
            return Poll::Ready(());
        }
        // A task that another wakes runs right after it in tokio's usual runtime, so that there is only that one's call
        // yet. One that wakes itself runs after all that are ready, and what they call then goes with it.
        self.gathering = called && !self.gathering;
        if self.gathering {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.end.state().driver = Some(cx.waker().clone());
        let all_written = self.poll_write(cx).is_ready();
        if all_written && self.end.state().closed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut room = ReadBuf::new(&mut self.input[self.filled..]);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room));
            let read = read.map_or(0, |()| room.filled().len());
            if read == 0 {
                return Poll::Ready(());
            }
            let (mut start, mut searched) = (0, self.filled);
            self.filled += read;
            while let Some(length) = memchr::memchr(b'\n', &self.input[searched..self.filled]) {
                self.end.receive(&self.input[start..searched + length]);
                start = searched + length + 1;
                searched = start;
            }
            self.input.copy_within(start..self.filled, 0);
            self.filled -= start;
            if self.filled == self.input.len() {
                self.input.resize(self.filled * 2, 0);
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.written == self.output.len() {
                self.output.clear();
                self.written = 0;
                std::mem::swap(&mut self.output, &mut self.end.state().unwritten);
                if self.output.is_empty() {
                    return Poll::Ready(());
                }
            }
            let rest = &self.output[self.written..];
            self.written +=
                ready!(Pin::new(&mut self.socket).poll_write(cx, rest)).expect("the connection lasts");
        }
    }
}

impl Peer for Baseline {
    type Client = BaselineClient;

    async fn serve(&self, socket: Socket) {
        End::start(socket);
    }

    async fn connect(socket: Socket) -> BaselineClient {
        BaselineClient(Arc::new(Held(End::start(socket))))
    }
}

#[derive(Clone)]
pub struct BaselineClient(Arc<Held>);

/// The connection is closed when it is no longer held.
struct Held(End);

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        state.wake();
    }
}

impl Client for BaselineClient {
    type Object = ();

    async fn add(&self, a: u32, b: u32) -> u32 {
        self.0.0.number(Request::Add(a, b)).await
    }

    async fn echo(&self, record: Record) -> Record {
        match self.0.0.call(Request::Echo(Box::new(record))).await {
            Answer::Record(record) => *record,
            _ => panic!("a wrong answer"),
        }
    }

    async fn echo_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.0.0.call(Request::Bytes(BASE64_STANDARD.encode(bytes))).await {
            Answer::Bytes(text) => BASE64_STANDARD.decode(text).expect("base64"),
            _ => panic!("a wrong answer"),
        }
    }

    async fn call_back(&self, calls: u32, in_flight: u32) -> u64 {
        match self.0.0.call(Request::CallBack(calls, in_flight)).await {
            Answer::Sum(sum) => sum,
            _ => panic!("a wrong answer"),
        }
    }
}
