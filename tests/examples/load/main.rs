//! Drives servers with instant runs and tells how many they do: `tests/peers/run.sh` starts everything and makes the table.
//!
//! Closed loop: each of N lanes starts its next run when the last one's end is known. The modes take turns, slice by slice, so that all see the same
//! disk and the same neighbours; medians are told at the end. One JSON line a measurement goes to standard output.

mod ends;
mod http;
mod options;
mod peers;
mod work;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use options::{Options, USAGE};
use peers::{Lane, Mode, Shared};
use serde_json::json;
use work::Work;

/// One slice, or the medians of many.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    runs_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    server_cpu_s: f64,
    comfy_cpu_s: f64,
    /// Runs whose outcome was not told.
    lost: f64,
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else { return complain(USAGE) };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string()),
    };
    match runtime.block_on(measure(&Arc::new(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("load: {error}")),
    }
}

fn complain(text: &str) -> ExitCode {
    // If standard error is gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::FAILURE
}

async fn measure(options: &Arc<Options>) -> io::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Other than those of any run before, so that no cache of the server knows them.
    let numbers = Arc::new(AtomicU64::new(u64::try_from(now.as_micros()).unwrap_or_default() & 0xffff_ffff_ffff));
    for concurrency in options.concurrency.iter().copied() {
        let mut all: Vec<(Mode, Vec<Figures>)> = options.modes.iter().map(|mode| (*mode, Vec::new())).collect();
        for round in 0..=options.rounds {
            for (mode, figures) in &mut all {
                let one = slice(*mode, options, concurrency, &numbers).await?;
                // The first round warms up.
                if round > 0 {
                    tell(*mode, options.work, concurrency, &one, Some(round))?;
                    figures.push(one);
                }
            }
        }
        for (mode, figures) in all {
            let median = |of: fn(&Figures) -> f64| {
                let mut values: Vec<f64> = figures.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).copied().unwrap_or_default()
            };
            let medians = Figures {
                runs_per_s: median(|one| one.runs_per_s),
                p50_us: median(|one| one.p50_us),
                p99_us: median(|one| one.p99_us),
                server_cpu_s: median(|one| one.server_cpu_s),
                comfy_cpu_s: median(|one| one.comfy_cpu_s),
                lost: figures.iter().map(|one| one.lost).sum(),
            };
            tell(mode, options.work, concurrency, &medians, None)?;
        }
    }
    Ok(())
}

fn tell(mode: Mode, work: Work, concurrency: usize, figures: &Figures, round: Option<usize>) -> io::Result<()> {
    let line = json!({
        "mode": mode.name(), "work": work.name(), "concurrency": concurrency, "round": round.map_or(json!("median"), |round| json!(round)),
        "runs_per_s": figures.runs_per_s.round(), "p50_us": figures.p50_us.round(), "p99_us": figures.p99_us.round(),
        "server_cpu_s_per_1000": (figures.server_cpu_s * 1000.0).round() / 1000.0,
        "comfyui_cpu_s_per_1000": (figures.comfy_cpu_s * 1000.0).round() / 1000.0, "lost": figures.lost,
    });
    writeln!(io::stdout(), "{line}")
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
async fn slice(mode: Mode, options: &Arc<Options>, concurrency: usize, numbers: &Arc<AtomicU64>) -> io::Result<Figures> {
    let shared = Arc::new(Shared::open(mode, options).await?);
    let mut lanes = Vec::new();
    for _ in 0..concurrency {
        lanes.push(Lane::open(mode, options).await?);
    }
    let cpu = || (options.pid_of(mode).map_or(0.0, cpu_seconds), options.comfy_pid.map_or(0.0, cpu_seconds));
    let before = cpu();
    let began = Instant::now();
    let until = began + options.slice;
    let mut tasks = tokio::task::JoinSet::new();
    for mut lane in lanes {
        let (shared, numbers, work) = (Arc::clone(&shared), Arc::clone(numbers), options.work);
        tasks.spawn(async move {
            let (mut took, mut lost) = (Vec::new(), 0_u32);
            while Instant::now() < until {
                let at = Instant::now();
                if lane.run(&shared, work, numbers.fetch_add(1, Ordering::Relaxed)).await? {
                    took.push((at.elapsed(), Instant::now() <= until));
                } else {
                    lost += 1;
                }
            }
            Ok::<_, io::Error>((took, lost))
        });
    }
    let (mut took, mut in_time, mut all_lost): (Vec<Duration>, usize, u32) = (Vec::new(), 0, 0);
    while let Some(lane) = tasks.join_next().await {
        let (lane, lost) = lane.map_err(io::Error::other)??;
        // What stands still at the end of the slice would count against all others of it.
        in_time += lane.iter().filter(|(_, in_time)| *in_time).count();
        took.extend(lane.into_iter().map(|(time, _)| time));
        all_lost += lost;
    }
    let after = cpu();
    took.sort();
    let at = |share: usize| took.get(took.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    let runs = took.len() as f64;
    Ok(Figures {
        runs_per_s: in_time as f64 / options.slice.as_secs_f64(),
        p50_us: at(50),
        p99_us: at(99),
        server_cpu_s: (after.0 - before.0) / runs * 1000.0,
        comfy_cpu_s: (after.1 - before.1) / runs * 1000.0,
        lost: f64::from(all_lost),
    })
}

/// The CPU time that a process has used, with its threads.
fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a hundred or so")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    ticks / per_second
}
