//! Measures a comfyd as a service: GET of a state beside a bare axum, watchers of all runs, and a burst.
//!
//! ```text
//! service --comfyd HOST:PORT --pid PID --token TOKEN
//! ```
//!
//! `tests/peers/service.sh` starts what it needs. One JSON line a figure.

#[path = "../load/http.rs"]
mod http;

mod burst;
mod get;
mod target;
mod watchers;

use std::io::{self, Write};

use target::Target;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--bare", path] => runtime.block_on(get::bare(path)),
        ["--comfyd", host, "--pid", pid, "--token", token] => {
            let pid = pid.parse().map_err(io::Error::other)?;
            runtime.block_on(all(Target { host: (*host).to_owned(), pid, token: (*token).to_owned() }))
        }
        _ => Err(io::Error::other("usage: service --comfyd HOST:PORT --pid PID --token TOKEN")),
    }
}

async fn all(target: Target) -> io::Result<()> {
    tell(&serde_json::json!({ "what": "memory before", "rss_kib": target.resident()? }))?;
    let (state, path) = target.finished_run().await?;
    tell(&get::measure(&target, &path, &state).await?)?;
    for watchers in [1, 50] {
        tell(&watchers::measure(&target, watchers).await?)?;
    }
    tell(&burst::measure(&target, 1000).await?)
}

fn tell(figure: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout(), "{figure}")
}

/// The value below which this share of the sorted ones lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a list")]
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
