//! A body that a thread writes while the client reads it.
//!
//! Invariants: a few pieces are made ahead and no more; a client that hangs up ends the work at its next piece; an answer whose work failed or died is
//! cut off, so that nobody takes it for whole.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The size of a piece.
const PIECE: usize = 64 * 1024;
/// How many are made before the client has taken them.
const AHEAD: usize = 2;

/// A piece, or nothing at the end.
type Sent = io::Result<Option<Bytes>>;

/// Where the work writes.
pub(super) struct Pipe {
    to: mpsc::Sender<Sent>,
    buffer: Vec<u8>,
    muted: Rc<Cell<bool>>,
}

/// Makes a body of what `work` writes; the place is free again when the work is done.
pub(super) fn body(place: OwnedSemaphorePermit, work: impl FnOnce(&mut Pipe) -> io::Result<()> + Send + 'static) -> Body {
    let (to, from) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe { to, buffer: Vec::with_capacity(PIECE), muted: Rc::default() };
        let last = match work(&mut pipe).and_then(|()| pipe.flush()) {
            Ok(()) => Ok(None),
            Err(error) => {
                tracing::debug!(%error, "an answer was not finished");
                Err(error)
            }
        };
        // Nobody may be reading any more.
        let _ = pipe.to.blocking_send(last);
        drop(place);
    });
    Body::from_stream(futures_util::stream::unfold(Some(from), |from| async {
        let mut from = from?;
        match from.recv().await {
            Some(Ok(Some(piece))) => Some((Ok(piece), Some(from))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(io::Error::other("the answer's worker died")), None)),
        }
    }))
}

impl Pipe {
    /// A switch that makes the pipe take and drop everything: for writers that write an end even when they are given up.
    pub(super) fn mute(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.muted)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.muted.get() {
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() >= PIECE {
                self.flush()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() || self.muted.get() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        self.to.blocking_send(Ok(Some(piece))).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_is_written_arrives_and_what_fails_is_cut_off() {
        let places = Arc::new(Semaphore::new(1));
        let place = async || Arc::clone(&places).acquire_owned().await.expect("open");
        let whole = body(place().await, |pipe| {
            for _ in 0..1000 {
                pipe.write_all(&[b'x'; 1000])?;
            }
            Ok(())
        });
        assert_eq!(whole.collect().await.expect("whole").to_bytes().len(), 1_000_000);
        let failed = body(place().await, |pipe| {
            pipe.write_all(b"begun")?;
            Err(io::Error::other("no more"))
        });
        assert!(failed.collect().await.is_err());
        let died = body(place().await, |_| panic!("for the test"));
        assert!(died.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_ends_the_work() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.expect("open");
        let mut endless = body(place, |pipe| {
            loop {
                pipe.write_all(&[b'x'; 4096])?;
            }
        });
        endless.frame().await.expect("a piece").expect("not failed");
        drop(endless);
        let again = tokio::time::timeout(std::time::Duration::from_mins(1), places.acquire()).await;
        assert!(again.is_ok(), "the work ended and gave its place back");
    }
}
