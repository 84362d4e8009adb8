//! GET of a run's state over 64 connections, beside a bare axum that answers the same bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::http::Connection;
use crate::quantile;
use crate::target::Target;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const SLICE: Duration = Duration::from_secs(1);

/// The bare server: answers every GET of the path with what comes on standard input.
pub(crate) async fn bare(path: &str) -> io::Result<()> {
    let mut state = vec![];
    io::stdin().read_to_end(&mut state)?;
    let state = Bytes::from(state);
    let answer = move || std::future::ready(([("content-type", "application/json")], state.clone()));
    let router = axum::Router::new().route(path, axum::routing::get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    axum::serve(listener, router).await
}

/// Alternating slices; medians.
pub(crate) async fn measure(target: &Target, path: &str, state: &Bytes) -> io::Result<Value> {
    let mut child =
        Command::new(std::env::current_exe()?).args(["--bare", path]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or_else(|| io::Error::other("no input"))?.write_all(state)?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or_else(|| io::Error::other("no output"))?).read_line(&mut line)?;
    let (mut ours, mut floor) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        floor.push(slice(line.trim(), path, "").await?);
        ours.push(slice(&target.host, path, &target.headers()).await?);
    }
    child.kill()?;
    child.wait()?;
    ours.sort_by(f64::total_cmp);
    floor.sort_by(f64::total_cmp);
    let (ours, floor) = (quantile(&ours, 0.5), quantile(&floor, 0.5));
    Ok(
        json!({ "what": "GET of a state, 64 connections", "bytes": state.len(), "per_s": ours.round(), "bare_axum_per_s": floor.round(), "ratio": ours / floor }),
    )
}

async fn slice(host: &str, path: &str, headers: &str) -> io::Result<f64> {
    let began = Instant::now();
    let ask = |host: String, path: String, headers: String| async move {
        let mut connection = Connection::open(&host).await?;
        let mut count = 0u32;
        while began.elapsed() < SLICE {
            let reply = connection.ask("GET", &path, &headers, "").await?;
            if reply.status != 200 {
                return Err(io::Error::other(format!("GET answered {}", reply.status)));
            }
            count += 1;
        }
        Ok(count)
    };
    let tasks: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(ask(host.to_owned(), path.to_owned(), headers.to_owned()))).collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.map_err(io::Error::other)??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}
