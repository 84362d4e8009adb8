//! A channel that is closed when nobody holds it any more.
//!
//! Invariant: whatever ends the use of a channel, the machine gets its place back. (The library closes none by itself.)

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::runtime::Handle;

/// The writing half of a channel.
pub(super) struct Closing {
    half: Option<ChannelWriteHalf<Msg>>,
    /// A channel that is closed twice is a breach of the protocol.
    closed: AtomicBool,
}

impl Closing {
    pub(super) fn new(half: ChannelWriteHalf<Msg>) -> Self {
        Self { half: Some(half), closed: AtomicBool::new(false) }
    }

    /// Closes it now.
    pub(super) async fn close(&self) {
        if !self.closed.load(Ordering::SeqCst) {
            // The connection may be gone; then there is nothing to close.
            let _ = self.deref().close().await;
            // Not before: whoever is dropped while it waits has not closed it.
            self.closed.store(true, Ordering::SeqCst);
        }
    }

    /// The half itself, for whoever closes it on their own.
    pub(super) fn kept(mut self) -> ChannelWriteHalf<Msg> {
        self.half.take().expect("it is taken only here and by the end of this")
    }
}

impl Deref for Closing {
    type Target = ChannelWriteHalf<Msg>;

    fn deref(&self) -> &ChannelWriteHalf<Msg> {
        self.half.as_ref().expect("it is taken only by what takes this too")
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // Without a runtime the connection ends too.
        let half = self.half.take().filter(|_| !self.closed.load(Ordering::SeqCst));
        if let (Some(half), Ok(runtime)) = (half, Handle::try_current()) {
            runtime.spawn(async move {
                // The connection may be gone; then there is nothing to close.
                let _ = half.close().await;
            });
        }
    }
}
