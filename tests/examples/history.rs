//! Measures a server with a long past: `cargo run --release -p comfyd-tests --example history -- 100000`.
//!
//! Prints one JSON object: milliseconds to start, to list, to search, to page through and to remove, the bytes of memory that a run takes.
//! Each server is a process of its own, so that its memory is its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use comfyd_engine::Status;
use comfyd_server::app::{App, Filter};
use comfyd_server::server::{Running, ServeOptions, start};
use comfyd_server::store::{FileStore, Options, RealDisk};
use comfyd_tests::past;
use serde_json::{Value, json};

const USAGE: &str = "usage: history RUNS [DIR]   (DIR is kept; without it the past is written to a temporary folder)";
/// How many runs are removed.
const REMOVED: u64 = 100;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", dir] => print(&block(serve(Path::new(dir)))?),
        ["remove", dir, runs] => print(&block(remove(Path::new(dir), runs.parse()?))?),
        [runs] => {
            let dir = tempfile::tempdir()?;
            print(&measure(runs.parse()?, &dir.path().join("data"))?)
        }
        [runs, dir] => print(&measure(runs.parse()?, Path::new(dir))?),
        _ => Err(USAGE.into()),
    }
}

fn print(value: &Value) -> Result<(), Failure> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{value}")?;
    Ok(())
}

fn block<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn ms(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}

/// This program again, in a process of its own.
fn child(arguments: &[&str]) -> Result<Value, Failure> {
    let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn measure(runs: u64, dir: &Path) -> Result<Value, Failure> {
    let place = dir.to_string_lossy().into_owned();
    let empty: PathBuf = dir.with_extension("empty");
    let idle = child(&["serve", &empty.to_string_lossy()])?;
    std::fs::remove_dir_all(&empty)?;
    let begun = Instant::now();
    block(write(dir, runs))?;
    let written = ms(begun);
    // Also where an earlier measurement left one.
    drop(std::fs::remove_file(dir.join("index.log")));
    let rebuilt = child(&["serve", &place])?;
    let warm = child(&["serve", &place])?;
    let removed = child(&["remove", &place, &runs.to_string()])?;
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or_default();
    let per_run = (number(&warm, "rss_bytes") - number(&idle, "rss_bytes")) / number(&warm, "runs").max(1.0);
    Ok(json!({
        "runs": warm["runs"], "write_ms": written, "start_empty_ms": idle["start_ms"], "rebuild_ms": rebuilt["start_ms"],
        "start_ms": warm["start_ms"], "list_ms": warm["list_ms"], "filter_ms": warm["filter_ms"], "search_ms": warm["search_ms"],
        "search_none_ms": warm["search_none_ms"], "page_through_ms": warm["page_through_ms"], "remove_ms": removed["remove_ms"],
        "removed": REMOVED.min(runs), "idle_rss_bytes": idle["rss_bytes"], "rss_bytes": warm["rss_bytes"], "bytes_per_run": per_run.round(),
    }))
}

/// Writes the runs that are not there yet.
async fn write(dir: &Path, runs: u64) -> Result<(), Failure> {
    let options = Options { min_free: 0, ..Options::default() };
    let (store, found) = FileStore::open(dir, Arc::new(RealDisk), options)?;
    let there = found.streams.len() as u64;
    drop(found);
    past::write(&store, there.min(runs), runs).await;
    Ok(store.shutdown().await?)
}

async fn open(dir: &Path) -> Result<(Running, f64), Failure> {
    let begun = Instant::now();
    let options = ServeOptions { listen: ([127, 0, 0, 1], 0).into(), min_free: 0, ..ServeOptions::new(dir.to_owned()) };
    let running = start(options).await?;
    Ok((running, ms(begun)))
}

async fn close(running: Running) -> Result<(), Failure> {
    running.stop();
    Ok(running.join().await?)
}

/// The middle of five tries, in milliseconds.
fn timed(app: &App, filter: &Filter) -> f64 {
    let mut tries: Vec<f64> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            std::hint::black_box(app.list(filter));
            ms(begun)
        })
        .collect();
    tries.sort_by(f64::total_cmp);
    tries[2]
}

async fn serve(dir: &Path) -> Result<Value, Failure> {
    let (running, started) = open(dir).await?;
    let rss = rss()?;
    let app = running.app.clone();
    let page = Filter { limit: 50, ..Filter::default() };
    let text = |text: &str| Filter { text: Some(text.to_owned()), ..page.clone() };
    let begun = Instant::now();
    let mut filter = page.clone();
    let mut runs = 0;
    loop {
        let page = app.list(&filter);
        runs += page.runs.len();
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let through = ms(begun);
    let few = Filter { status: vec![Status::Cancelled], ..page.clone() };
    let told = json!({
        "runs": runs, "start_ms": started, "rss_bytes": rss, "list_ms": timed(&app, &page), "filter_ms": timed(&app, &few),
        "search_ms": timed(&app, &text("inpaint 17")), "search_none_ms": timed(&app, &text("0000beef")), "page_through_ms": through,
    });
    close(running).await?;
    Ok(told)
}

/// Removes some runs one by one, as people do; the time of one.
async fn remove(dir: &Path, runs: u64) -> Result<Value, Failure> {
    let (running, _) = open(dir).await?;
    let begun = Instant::now();
    for n in 0..REMOVED.min(runs) {
        running.app.delete(past::run(n)).await?;
    }
    let each = (begun.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(REMOVED.min(runs))?)).round() / 1e3;
    close(running).await?;
    Ok(json!({ "remove_ms": each }))
}

/// The memory of this process that is not shared or swapped.
fn rss() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
