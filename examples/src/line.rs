//! A transport that shows the frames on the line, and makes the line long.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use capnode::transport::{self, Closing, Outgoing, ReceiveError, Transport};
use tokio::time::{Instant, Sleep};

/// Watches a transport, and delays everything that arrives by it by `delay`. To delay both ways, do this at both ends.
pub fn watch<T: Transport + Unpin>(transport: T, delay: Duration) -> (Watched<T>, Line) {
    let line = Line::default();
    let watched = Watched {
        transport,
        delay,
        line: line.clone(),
        unfinished: Vec::new(),
        arriving: VecDeque::new(),
        ended: false,
        timer: None,
        current: String::new(),
    };
    (watched, line)
}

/// A frame on the line.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `true` if it went out from this end.
    pub out: bool,
    /// The time when it left this end or arrived there, the delay included.
    pub at: Instant,
    /// The text of the frame.
    pub text: String,
}

/// The frames that have been seen on a line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Line {
    /// Returns all frames since the last [`clear`](Self::clear), in the order they were seen at this end.
    pub fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the numbers of frames that went out and that came in.
    pub fn count(&self) -> (usize, usize) {
        let frames = self.frames();
        let out = frames.iter().filter(|frame| frame.out).count();
        (out, frames.len() - out)
    }

    /// Returns the number of frames that had gone out when the first came in.
    pub fn out_before_first_in(&self) -> usize {
        self.frames().iter().take_while(|frame| frame.out).count()
    }

    /// Forgets the frames that have been seen.
    pub fn clear(&self) {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, out: bool, text: String) {
        let frame = Frame { out, at: Instant::now(), text };
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
    }
}

/// A transport that is watched: see [`watch`].
pub struct Watched<T> {
    transport: T,
    delay: Duration,
    line: Line,
    /// The part of a frame that has been written while the rest waits.
    unfinished: Vec<u8>,
    /// The frames that have arrived, and the times when they count as such.
    arriving: VecDeque<(Instant, Option<Result<String, ReceiveError>>)>,
    ended: bool,
    timer: Option<Pin<Box<Sleep>>>,
    current: String,
}

impl<T: Transport + Unpin> Watched<T> {
    /// Reads everything available, to be handed on later.
    fn take_in(&mut self, cx: &mut Context<'_>) {
        while !self.ended {
            let Poll::Ready(arrived) = self.transport.poll_receive(cx) else { return };
            let arrived = match arrived {
                Some(Ok(transport::Frame::Text(frame))) => Some(Ok(frame.to_owned())),
                Some(Ok(_)) => Some(Err(ReceiveError::Invalid("no text".to_owned()))),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            };
            self.ended = !matches!(arrived, Some(Ok(_)));
            self.arriving.push_back((Instant::now() + self.delay, arrived));
        }
    }
}

impl<T: Transport + Unpin> Transport for Watched<T> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<transport::Frame<'_>, ReceiveError>>> {
        self.take_in(cx);
        let Some((due, _)) = self.arriving.front() else {
            return if self.ended { Poll::Ready(None) } else { Poll::Pending };
        };
        if *due > Instant::now() {
            let due = *due;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
        }
        match self.arriving.pop_front() {
            Some((_, Some(Ok(frame)))) => {
                self.line.note(false, frame.clone());
                self.current = frame;
                Poll::Ready(Some(Ok(transport::Frame::Text(&self.current))))
            }
            Some((_, Some(Err(error)))) => Poll::Ready(Some(Err(error))),
            Some((_, None)) | None => Poll::Ready(None),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        // Each frame has a line feed behind it here, on any transport.
        let before = frames.lines().to_vec();
        let sent = self.transport.poll_send(cx, frames);
        self.unfinished.extend_from_slice(&before[..before.len() - frames.len()]);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let frame: Vec<u8> = self.unfinished.drain(..=end).collect();
            self.line.note(true, String::from_utf8_lossy(&frame[..end]).into_owned());
        }
        sent
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_close(cx, closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tour;

    #[tokio::test(start_paused = true)]
    async fn frames_are_seen_and_delayed_both_ways() -> Result<(), capnode::Error> {
        let (one, other) = capnode::transport::pair();
        let delay = Duration::from_millis(50);
        let (server, _) = watch(one, delay);
        let (client, line) = watch(other, delay);
        capnode::Node::new(tour::index()).serve(server).await?;
        let tour: tour::TourClient = capnode::connect_over(client).await?;
        tour.transform("beep").await?;
        line.clear();
        let start = Instant::now();
        assert_eq!(tour.transform("beep").await?, "BOOP");
        // The clock only moves by sleeps, so this is exact up to its grain.
        assert_eq!((start.elapsed() + Duration::from_millis(2)).as_millis() / 10, 10);
        assert_eq!(line.count(), (1, 1));
        let frames = line.frames();
        assert_eq!(frames[0].text, r#"["stream",["pipeline",0,["transform"],["beep"]]]"#);
        assert!(frames[1].text.starts_with(r#"["resolve","#) && frames[1].text.ends_with(r#","BOOP"]"#));
        Ok(())
    }
}
