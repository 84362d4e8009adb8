//! `comfyd replay --speed`: plays a log in time.
//!
//! Invariant: the log's own times are shown and nothing of the present; the outbox is muted.

use std::path::Path;

use comfyd_engine::{Outbox, RunView, Seq, Timestamp};
use tokio::time::{Duration, Instant};

use super::error::CliError;
use super::live::{Moment, Player};
use super::out::Out;
use super::replay::Fold;
use super::signals::Signals;
use super::wire::RunDoc;
use crate::store::tools;

/// How many pictures a second are drawn at most.
const PICTURES: u64 = 10;

/// Plays the events that are wanted, `speed` times as fast as they happened.
pub(crate) async fn play(log: &Path, wanted: impl Fn(Seq, Timestamp) -> bool, speed: f64, out: Out) -> Result<(), CliError> {
    let records = tools::records(log).map_err(|error| CliError::unreadable(log, &error))?;
    let mut signals = Signals::listen()?;
    let mut player = Player::new(out);
    let (mut fold, mut outbox) = (Fold::empty(log), Outbox::muted());
    let mut first = None;
    let (began, mut drawn_at) = (Instant::now(), None::<Instant>);
    let mut records = records.into_iter().peekable();
    while let Some(record) = records.next() {
        let (at, event) = super::replay::read(record.seq, &record.payload)?;
        if !wanted(record.seq, at) {
            break;
        }
        let since = at.since(*first.get_or_insert(at));
        let due = began + scaled(since, speed);
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = signals.next() => return Ok(()),
        }
        fold.take(record.seq, at, event, &mut outbox)?;
        let Some(run) = &fold.run else { continue };
        // At a high speed many events fall into one picture; the last one is always shown.
        let soon = drawn_at.is_some_and(|drawn| drawn.elapsed() < Duration::from_millis(1000 / PICTURES));
        if soon && records.peek().is_some() && player.draws() {
            continue;
        }
        drawn_at = Some(Instant::now());
        let json = serde_json::to_string(&RunView::of(run));
        let json = json.map_err(|error| CliError::internal(format!("failed to write the state: {error}")))?;
        let doc = RunDoc::read(&json).map_err(|error| CliError::internal(format!("failed to read the state: {error}")))?;
        player.show(&json, &doc, Moment { now: at, lost: None })?;
    }
    Ok(())
}

fn scaled(millis: u64, speed: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a length of time for people to look at")]
    let seconds = millis as f64 / 1000.0 / speed;
    // A run of years at a crawl is for nobody's eyes.
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
}

/// `10x`, `0.5x` or `10`.
pub(crate) fn speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix(['x', 'X']).unwrap_or(text).parse::<f64>();
    let good = number.ok().filter(|speed| speed.is_finite() && *speed >= 0.001 && *speed <= 1e9);
    good.ok_or_else(|| "write how many times as fast as it was, such as 10x or 0.5x".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        assert_eq!(speed("10x"), Ok(10.0));
        assert_eq!(speed("0.5"), Ok(0.5));
        for bad in ["", "x", "0", "-1x", "inf", "NaN", "1e300"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
        assert_eq!(scaled(10_000, 10.0), Duration::from_secs(1));
        assert!(scaled(u64::MAX, 0.001) > Duration::from_hours(1));
    }
}
