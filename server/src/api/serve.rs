//! Serves a router over HTTP/1.1, within bounds, until it is told to stop.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::limits::Bounds;
use super::stall::Patient;

/// The longest head of a request.
const MAX_HEAD: usize = 16 * 1024;
/// How long a head may take; idle connections are closed after it too.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long requests may go on after the server is told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// How long to wait when the system has no more file descriptors.
const NO_SOCKET_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Tells streams of events that the server is stopping.
#[derive(Clone, Default)]
pub(super) struct Closing(CancellationToken);

impl Closing {
    /// Waits until it is.
    pub(super) async fn closed(&self) {
        self.0.cancelled().await;
    }
}

/// Serves until `shutdown`: then no new connection is taken, streams of events end at once, and other requests get 8 seconds.
///
/// # Errors
/// None now; accepting goes on after errors, which concern single connections or pass.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    serve_within(listener, router, shutdown, Bounds::default()).await
}

/// The same with bounds of the caller's.
///
/// # Errors
/// None now, as above.
pub async fn serve_within(listener: TcpListener, router: Router, shutdown: CancellationToken, bounds: Bounds) -> io::Result<()> {
    let router = router.layer(Extension(Closing(shutdown.clone())));
    let places = Arc::new(Semaphore::new(bounds.connections()));
    let mut connections = JoinSet::new();
    loop {
        // Each arm is cancel-safe: a connection that was not accepted stays in the listener's queue.
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended by a panic");
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let router = router.clone();
                let shutdown = shutdown.clone();
                connections.spawn(async move {
                    connection(Patient::new(stream, bounds.stalled), peer, router, shutdown).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(NO_SOCKET_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, Peer(peer.ip()), place))
}

async fn connection(stream: Patient<TcpStream>, peer: Peer, router: Router, shutdown: CancellationToken) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let mut router = router.clone();
        async move {
            let ready = ServiceExt::<Request<Incoming>>::ready(&mut router).await;
            let router = ready.unwrap_or_else(|never: Infallible| match never {});
            router.call(request).await
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(MAX_HEAD);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients go away as they like.
        tracing::debug!(%error, "a connection ended early");
    }
}
