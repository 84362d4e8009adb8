//! A channel as a stream of bytes.
//!
//! Invariants: the connection never waits for whoever reads a channel: each channel is emptied by a task of its own into a queue of limited length, and
//! one whose reader falls too far behind is closed. (The library grants the window when bytes arrive, and holds all channels up while one of
//! them is full.) Dropping the stream closes the channel.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::SshError;

/// How far a reader may fall behind: the longest message of ComfyUI that is read, and some more.
pub(super) const MAX_BEHIND: usize = 72 * 1024 * 1024;

/// What has come and was not read yet.
#[derive(Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    length: usize,
    /// How it ended: well, or not.
    end: Option<Result<(), SshError>>,
    reader: Option<Waker>,
}

#[derive(Default)]
struct Shared(Mutex<Queue>);

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every statement leaves the queue whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for more.
    fn push(&self, bytes: Bytes, max: usize) -> bool {
        let mut queue = self.queue();
        if queue.length + bytes.len() > max {
            return false;
        }
        queue.length += bytes.len();
        queue.pieces.push_back(bytes);
        let reader = queue.reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
        true
    }

    fn end(&self, how: Result<(), SshError>) {
        let mut queue = self.queue();
        queue.end.get_or_insert(how);
        let reader = queue.reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
    }
}

/// A channel as a stream.
pub struct Pipe {
    shared: Arc<Shared>,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    _open: DropGuard,
    /// What else must live as long.
    _keep: Box<dyn Send + Sync>,
}

impl Pipe {
    /// A stream of this channel; the connection that it belongs to is kept open as long.
    pub(super) fn over(channel: Channel<Msg>, keep: Box<dyn Send + Sync>) -> Self {
        Self::limited(channel, keep, MAX_BEHIND)
    }

    fn limited(channel: Channel<Msg>, keep: Box<dyn Send + Sync>, max: usize) -> Self {
        let (incoming, outgoing) = channel.split();
        Self::joined(incoming, outgoing, keep, max)
    }

    /// A stream of the halves of a channel.
    pub(super) fn of_halves(incoming: ChannelReadHalf, outgoing: ChannelWriteHalf<Msg>, keep: Box<dyn Send + Sync>) -> Self {
        Self::joined(incoming, outgoing, keep, MAX_BEHIND)
    }

    fn joined(mut incoming: ChannelReadHalf, outgoing: ChannelWriteHalf<Msg>, keep: Box<dyn Send + Sync>, max: usize) -> Self {
        let writer = Box::pin(outgoing.make_writer());
        let shared = Arc::new(Shared::default());
        let open = CancellationToken::new();
        let (queue, closing) = (Arc::clone(&shared), open.clone());
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    biased;
                    () = closing.cancelled() => break,
                    message = incoming.wait() => message,
                };
                match message {
                    Some(ChannelMsg::Data { data }) => {
                        if !queue.push(data, max) {
                            queue.end(Err(SshError::Channel {
                                what: "a stream".into(),
                                why: "its reader fell too far behind".into(),
                            }));
                            break;
                        }
                    }
                    Some(ChannelMsg::Eof) => queue.end(Ok(())),
                    Some(ChannelMsg::Close) => {
                        queue.end(Ok(()));
                        break;
                    }
                    // Windows, and what belongs to commands.
                    Some(_) => {}
                    None => {
                        queue.end(Err(SshError::Lost { why: "in the middle of a stream".into() }));
                        return;
                    }
                }
            }
            // The connection may be gone; then there is nothing to close.
            let _ = outgoing.close().await;
        });
        Self { shared, writer, _open: open.drop_guard(), _keep: keep }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.shared.queue();
        // The buffer may hold something already, so what it holds in the end tells nothing.
        let before = into.filled().len();
        while into.remaining() > 0 {
            let Some(piece) = queue.pieces.front_mut() else { break };
            let n = piece.len().min(into.remaining());
            into.put_slice(&piece[..n]);
            piece.advance(n);
            if piece.is_empty() {
                queue.pieces.pop_front();
            }
            queue.length -= n;
        }
        if into.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        match &queue.end {
            Some(Ok(())) => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(error.clone().into())),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_shutdown(cx)
    }
}
