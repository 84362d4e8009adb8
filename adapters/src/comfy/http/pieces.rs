//! The body of a request, handed over piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes that leave in pieces of a size, so that a connection never holds more of them than one.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: Bytes,
    size: usize,
}

impl Pieces {
    pub(super) fn new(bytes: Bytes, size: usize) -> Self {
        Self { rest: bytes, size: size.max(1) }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.size.min(self.rest.len());
        let piece = self.rest.split_to(size);
        tracing::trace!(bytes = size, left = self.rest.len(), "a piece of a request leaves");
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn twenty_mebibytes_leave_in_three_pieces() {
        let whole = Bytes::from((0..20 << 20).map(|n: u32| n.to_le_bytes()[1]).collect::<Vec<u8>>());
        let mut body = Pieces::new(whole.clone(), 8 << 20);
        assert_eq!(body.size_hint().exact(), Some(20 << 20));
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.expect("infallible").into_data().expect("data"));
        }
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [8 << 20, 8 << 20, 4 << 20]);
        assert_eq!(pieces.concat(), whole);
        assert!(body.is_end_stream());
        assert!(Pieces::new(Bytes::new(), 8).is_end_stream(), "an empty body has no pieces");
    }
}
