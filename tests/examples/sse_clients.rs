//! Holds many idle watchers of one run open and prints what each costs the server in memory.
//!
//! ```text
//! cargo run --release -p comfyd-tests --example sse_clients -- 10000
//! ```
//!
//! The watchers live in a process of their own, so that the server's memory is the server's; they come from several addresses of 127.0.0.0/8. Both
//! processes need a file descriptor for each: `ulimit -n`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use comfyd_fixtures::{FakeComfy, FakeConfig, workflows};
use comfyd_server::api::Bounds;
use comfyd_server::app::{Execute, Source};
use comfyd_server::server::{ServeOptions, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How many watchers come from one address.
const OF_ONE: usize = 500;
/// How many connect at the same time.
const AT_ONCE: usize = 64;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => runtime.block_on(serve(1000)),
        [count] => runtime.block_on(serve(count.parse().map_err(io::Error::other)?)),
        [count, address, path, token] => {
            let address = address.parse().map_err(io::Error::other)?;
            runtime.block_on(watch(count.parse().map_err(io::Error::other)?, address, path, token))
        }
        _ => Err(io::Error::other("usage: sse_clients [COUNT]")),
    }
}

/// The memory that this process has, in KiB.
fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.split_whitespace().next()?.parse().ok()).ok_or_else(|| io::Error::other("no VmRSS"))
}

async fn serve(count: usize) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    // A run that is there and hardly moves.
    let fake = FakeComfy::new(FakeConfig { time_scale: 0.000_1, ..FakeConfig::default() }).listen("127.0.0.1:0").await?;
    let bounds = Bounds { streams: count + 10, streams_of_one: OF_ONE, ..Bounds::default() };
    let options = ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        default_url: Some(fake.url()),
        min_free: 0,
        bounds,
        ..ServeOptions::new(dir.path().join("data"))
    };
    let running = start(options).await.map_err(io::Error::other)?;
    let sample = workflows::named("20_custom_slow_previews").ok_or_else(|| io::Error::other("no sample"))?;
    let wish = Execute::new(Source::Inline { text: sample.json.to_owned(), file: None });
    let run = running.app.execute(wish).await.map_err(io::Error::other)?.run_id;
    let before = resident()?;
    let path = format!("/api/v1/runs/{run}/events");
    let mut watchers = Command::new(std::env::current_exe()?)
        .args([&count.to_string(), &running.addr.to_string(), &path, &running.token])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = watchers.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let word = tokio::task::spawn_blocking(move || BufReader::new(output).lines().next().transpose());
    let word = word.await.map_err(io::Error::other)??.unwrap_or_default();
    let after = resident()?;
    let grown = after.saturating_sub(before);
    writeln!(io::stdout(), "{word}; server {before} KiB before, {after} KiB with them: {:.1} KiB each", per(grown, count))?;
    drop(watchers.stdin.take());
    watchers.wait()?;
    running.stop();
    running.join().await
}

#[expect(clippy::cast_precision_loss, reason = "a measure for people")]
fn per(kib: u64, count: usize) -> f64 {
    kib as f64 / count.max(1) as f64
}

/// Opens the watchers, says so, and holds them until its input ends.
async fn watch(count: usize, server: SocketAddr, path: &str, token: &str) -> io::Result<()> {
    let mut open = Vec::with_capacity(count);
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(AT_ONCE) {
        let connecting = some.iter().map(|number| connect(*number, server, path, token));
        open.extend(futures_util::future::try_join_all(connecting).await?);
    }
    writeln!(io::stdout(), "{} watchers have the state", open.len())?;
    io::stdout().flush()?;
    tokio::task::spawn_blocking(|| io::stdin().read(&mut [0])).await.map_err(io::Error::other)??;
    Ok(())
}

async fn connect(number: usize, server: SocketAddr, path: &str, token: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let host = u8::try_from(2 + number / OF_ONE).map_err(|_| io::Error::other("too many watchers"))?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    let mut stream = socket.connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = Vec::new();
    let state = async {
        while !text.windows(12).any(|part| part == b"event: state") {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await?;
            if read == 0 {
                return Err(io::Error::other(String::from_utf8_lossy(&text).into_owned()));
            }
            text.extend_from_slice(&piece[..read]);
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_mins(1), state).await.map_err(io::Error::other)??;
    Ok(stream)
}
