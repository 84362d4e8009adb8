//! Watchers of all runs while runs end as fast as they can: every watcher must see every end.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::quantile;
use crate::target::Target;

const LASTS: Duration = Duration::from_secs(5);
/// How many runs are under way at once.
const AT_ONCE: usize = 8;

/// What one watcher saw: when each run ended, and how many events there were.
#[derive(Default)]
struct Seen {
    ends: HashMap<String, Instant>,
    events: u64,
}

type Sights = Arc<Mutex<Seen>>;

/// How far apart the watchers see an end, and whether all see all.
pub(crate) async fn measure(target: &Target, watchers: usize) -> io::Result<Value> {
    let mut sights = vec![];
    let mut tasks = vec![];
    for _ in 0..watchers {
        let sight = Sights::default();
        let mut connection = target.open().await?;
        if let Some(status) = connection.stream("/api/v1/events", &target.headers()).await? {
            return Err(io::Error::other(format!("a watcher was refused: {status}")));
        }
        sights.push(Arc::clone(&sight));
        tasks.push(tokio::spawn(async move {
            while let Ok(Some(chunk)) = connection.chunk().await {
                note(&sight, &String::from_utf8_lossy(&chunk));
            }
        }));
    }
    let (stop, stopping) = watch::channel(false);
    let makers: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(make(target.clone(), stopping.clone()))).collect();
    let began = Instant::now();
    tokio::time::sleep(LASTS).await;
    // The makers look at it before each run.
    stop.send_replace(true);
    let mut made = vec![];
    for maker in makers {
        made.extend(maker.await.map_err(io::Error::other)??);
    }
    let lasted = began.elapsed();
    let complete = |sight: &Sights| {
        let seen = sight.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().all(|run| seen.ends.contains_key(run))
    };
    for _ in 0..200 {
        if sights.iter().all(complete) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let served = sights.iter().filter(|sight| complete(sight)).count();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let seen: Vec<_> =
        sights.iter().map(|sight| std::mem::take(&mut *sight.lock().unwrap_or_else(PoisonError::into_inner))).collect();
    let mut spread = vec![];
    for run in &made {
        let at: Vec<_> = seen.iter().filter_map(|seen| seen.ends.get(run)).collect();
        if let Some(first) = at.iter().min() {
            spread.extend(at.iter().map(|at| at.duration_since(**first).as_secs_f64() * 1000.0));
        }
    }
    spread.sort_by(f64::total_cmp);
    let events: u64 = seen.iter().map(|seen| seen.events).sum();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = events as f64 / lasted.as_secs_f64();
    Ok(json!({
        "what": "watchers of all runs", "watchers": watchers, "served_every_end": served, "runs": made.len(), "events_per_s": rate.round(),
        "end_after_first_watcher_ms": { "p50": quantile(&spread, 0.5), "p99": quantile(&spread, 0.99), "max": spread.last() },
    }))
}

fn note(sight: &Sights, chunk: &str) {
    let now = Instant::now();
    let mut seen = sight.lock().unwrap_or_else(PoisonError::into_inner);
    for line in chunk.lines().filter_map(|line| line.strip_prefix("data:")) {
        seen.events += 1;
        let Ok(run) = serde_json::from_str::<Value>(line) else { continue };
        if let (Some(id), Some("completed")) = (run["run_id"].as_str(), run["status"].as_str()) {
            seen.ends.entry(id.to_owned()).or_insert(now);
        }
    }
}

async fn make(target: Target, stopping: watch::Receiver<bool>) -> io::Result<Vec<String>> {
    let mut connection = target.open().await?;
    let mut made = vec![];
    while !*stopping.borrow() {
        let run = target.create(&mut connection).await?;
        let path = format!("/api/v1/runs/{run}/events?patches=false");
        let mut events = target.open().await?;
        if let Some(status) = events.stream(&path, &target.headers()).await? {
            return Err(io::Error::other(format!("a follower was refused: {status}")));
        }
        // Ends when the run does.
        while events.chunk().await?.is_some() {}
        made.push(run);
    }
    Ok(made)
}
