//! One HTTP/1.1 connection that knows how much of its request has left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::pieces::Pieces;
use crate::transport::Stream;

/// How many bytes of the body of a connection's newest request were handed to the transport.
///
/// What was not handed over certainly did not arrive; what was may have.
#[derive(Debug, Default)]
pub(super) struct Sent {
    body: AtomicU64,
    /// Whether another request begins with the next byte.
    anew: AtomicBool,
}

impl Sent {
    pub(super) fn body_bytes(&self) -> u64 {
        self.body.load(Ordering::SeqCst)
    }

    /// Counts from the next byte on; only while nothing is in flight.
    fn begin(&self) {
        self.body.store(0, Ordering::SeqCst);
        self.anew.store(true, Ordering::SeqCst);
    }
}

/// One connection; dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Pieces>,
    driver: JoinHandle<()>,
    sent: Arc<Sent>,
    /// When its last answer had been read.
    idle_since: Option<Instant>,
}

impl Connection {
    pub(super) async fn over(stream: Box<dyn Stream>) -> Result<Self, hyper::Error> {
        let sent = Arc::new(Sent::default());
        let counted = Counted { stream, head: Head::default(), sent: Arc::clone(&sent) };
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(counted)).await?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer gets the error too.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "http connection ended");
            }
        });
        Ok(Self { sender, driver, sent, idle_since: None })
    }

    /// Whether another request can be sent; waits for the end of the exchange before.
    pub(super) async fn is_usable(&mut self) -> bool {
        !self.sender.is_closed() && self.sender.ready().await.is_ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) async fn send(&mut self, request: Request<Pieces>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sent.begin();
        self.sender.send_request(request).await
    }

    /// Notes that the last answer has been read.
    pub(super) fn rest(&mut self) {
        self.idle_since = Some(Instant::now());
    }

    /// How long nothing has been in flight.
    pub(super) fn idle_for(&self) -> Duration {
        self.idle_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Closes the connection and tells how much of the body had left: the figure is final.
    pub(super) async fn give_up(mut self) -> u64 {
        self.driver.abort();
        // Cancelled or ended: in both cases nothing is written any more.
        let _ = (&mut self.driver).await;
        self.sent.body_bytes()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Finds the end of the head, which is the first empty line.
#[derive(Debug, Default)]
struct Head {
    matched: usize,
    ended: bool,
}

impl Head {
    /// How many of the bytes belong to the body.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        const END: &[u8; 4] = b"\r\n\r\n";
        if self.ended {
            return bytes.len();
        }
        for (at, byte) in bytes.iter().enumerate() {
            self.matched = if *byte == END[self.matched] { self.matched + 1 } else { usize::from(*byte == END[0]) };
            if self.matched == END.len() {
                self.ended = true;
                return bytes.len() - at - 1;
            }
        }
        0
    }
}

/// A stream that counts what is written.
struct Counted {
    stream: Box<dyn Stream>,
    head: Head,
    sent: Arc<Sent>,
}

impl Counted {
    fn note(&mut self, bytes: &[u8]) {
        if self.sent.anew.swap(false, Ordering::SeqCst) {
            self.head = Head::default();
        }
        let body = self.head.skip(bytes);
        self.sent.body.fetch_add(u64::try_from(body).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.note(&bytes[..written.min(bytes.len())]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        let mut left = written;
        for slice in slices {
            let part = left.min(slice.len());
            self.note(&slice[..part]);
            left -= part;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn the_body_begins_after_the_first_empty_line() {
        let request = b"POST /prompt HTTP/1.1\r\nhost: a\r\n\r\n{\"a\": \"\r\n\r\n\"}";
        let body = b"{\"a\": \"\r\n\r\n\"}".len();
        for cut in 0..request.len() {
            let mut head = Head::default();
            assert_eq!(head.skip(&request[..cut]) + head.skip(&request[cut..]), body, "cut at {cut}");
        }
        let mut head = Head::default();
        assert_eq!(head.skip(b"\r\r\n\r\n\rx"), 2);
    }
}
