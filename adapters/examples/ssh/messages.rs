//! Small messages: how late they come, and whether a channel that nobody reads makes them later.

use std::io;
use std::time::{Duration, Instant};

use comfyd_adapters::ssh::Session;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::median;

/// As long as a progress frame of ComfyUI.
const LENGTH: usize = 200;
const MESSAGES: usize = 500;
/// As often as a fast sampler tells its steps.
const EVERY: Duration = Duration::from_millis(5);

/// A server on a free port that treats each connection so.
async fn serve<F: Future<Output = ()> + Send + 'static>(treat: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that cannot be set so is only slower.
            let _ = stream.set_nodelay(true);
            tokio::spawn(treat(stream));
        }
    });
    Ok(port)
}

/// Sends messages that tell when they were sent.
async fn tick(mut stream: TcpStream, from: Instant) {
    let mut message = [0; LENGTH];
    loop {
        tokio::time::sleep(EVERY).await;
        let sent = u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX);
        message[..8].copy_from_slice(&sent.to_le_bytes());
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// How late messages come, in milliseconds.
async fn lateness(stream: &mut (impl AsyncRead + Unpin), from: Instant) -> io::Result<Vec<f64>> {
    let mut late = Vec::new();
    let mut message = [0; LENGTH];
    for _ in 0..MESSAGES {
        stream.read_exact(&mut message).await?;
        let sent = u64::from_le_bytes(message[..8].try_into().map_err(io::Error::other)?);
        late.push(from.elapsed().saturating_sub(Duration::from_nanos(sent)).as_secs_f64() * 1e3);
    }
    Ok(late)
}

/// A message straight and through the connection, in turns.
pub(crate) async fn latency(session: &Session) -> io::Result<Value> {
    let from = Instant::now();
    let port = serve(move |stream| tick(stream, from)).await?;
    let (mut straight, mut through) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        straight.extend(lateness(&mut stream, from).await?);
        let mut stream = session.stream(port).await.map_err(io::Error::other)?;
        through.extend(lateness(&mut stream, from).await?);
    }
    let (straight, through) = (median(&mut straight), median(&mut through));
    Ok(json!({ "what": "a message", "straight_p50_ms": straight, "ssh_p50_ms": through, "more_ms": through - straight }))
}

/// Says everything back.
async fn echo(mut stream: TcpStream) {
    let (mut from, mut to) = stream.split();
    // It ends with the connection.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// Talks without end.
async fn flood(mut stream: TcpStream) {
    while stream.write_all(&[7; 16_000]).await.is_ok() {}
}

async fn rounds(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut message = [0; LENGTH];
    for _ in 0..MESSAGES {
        let began = Instant::now();
        stream.write_all(&message).await?;
        stream.read_exact(&mut message).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Questions on one channel, alone and beside one whose reader has stopped.
pub(crate) async fn stalled(session: &Session) -> io::Result<Value> {
    let (echo, flood) = (serve(echo).await?, serve(flood).await?);
    let mut asking = session.stream(echo).await.map_err(io::Error::other)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        alone.extend(rounds(&mut asking).await?);
        let mut stalls = session.stream(flood).await.map_err(io::Error::other)?;
        // Its first bytes are read, and no more; it is ended when it is too far behind.
        stalls.read_exact(&mut [0; 1000]).await?;
        beside.extend(rounds(&mut asking).await?);
    }
    let (alone, beside) = (median(&mut alone), median(&mut beside));
    Ok(json!({ "what": "beside a stalled reader", "alone_p50_ms": alone, "beside_p50_ms": beside, "ratio": beside / alone }))
}
