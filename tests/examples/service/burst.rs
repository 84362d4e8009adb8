//! Many runs at once: all are taken, and all end.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::quantile;
use crate::target::Target;

const CONNECTIONS: usize = 64;

/// Makes `count` runs as fast as they are acknowledged, and waits for all ends.
pub(crate) async fn measure(target: &Target, count: usize) -> io::Result<Value> {
    let began = Instant::now();
    let before = target.resident()?;
    let make = |target: Target, share: usize| async move {
        let mut connection = target.open().await?;
        let mut waits = vec![];
        for _ in 0..share {
            let asked = Instant::now();
            target.create(&mut connection).await?;
            waits.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        io::Result::Ok(waits)
    };
    let share = |n: usize| count / CONNECTIONS + usize::from(n < count % CONNECTIONS);
    let tasks: Vec<_> = (0..CONNECTIONS).map(|n| tokio::spawn(make(target.clone(), share(n)))).collect();
    let mut waits = vec![];
    for task in tasks {
        waits.extend(task.await.map_err(io::Error::other)??);
    }
    let taken = began.elapsed();
    let peak = target.resident()?;
    let mut connection = target.open().await?;
    let open = loop {
        let path = "/api/v1/runs?status=queued,executing&limit=1";
        let reply = connection.ask("GET", path, &target.headers(), "").await?;
        let open = serde_json::from_slice::<Value>(&reply.body)?["runs"].as_array().map_or(0, Vec::len);
        if open == 0 || began.elapsed() > Duration::from_mins(2) {
            break open;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let over = began.elapsed();
    waits.sort_by(f64::total_cmp);
    Ok(json!({
        "what": "burst", "runs": count, "acknowledged_ms": taken.as_millis(), "all_over_ms": over.as_millis(), "still_open": open,
        "post_ms": { "p50": quantile(&waits, 0.5), "p99": quantile(&waits, 0.99) },
        "rss_kib": { "before": before, "acknowledged": peak, "over": target.resident()? },
    }))
}
