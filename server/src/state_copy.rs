//! The plan's one state file: a copy of the newest active run's view, for tools that watch a file.
//!
//! Invariants: whole or not there, for its owner only, at most ten times a second; gone when no run is active any more. Nothing is ever read from it.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// At most ten times a second.
const EVERY: Duration = Duration::from_millis(100);
/// A run leaves the live view by time alone, so it is looked at without a change too.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the copy up to date until `stop` is cancelled; then the last one stays.
pub(crate) async fn keep(app: App, path: PathBuf, stop: CancellationToken) {
    let mut changes = app.changes();
    let mut written: Option<String> = None;
    // Whatever another process has left says nothing about this one.
    let mut known = false;
    let mut complained = false;
    loop {
        let now = current(&app).await;
        if !known || now != written {
            let (target, text) = (path.clone(), now.clone());
            let done = tokio::task::spawn_blocking(move || put(&target, text.as_deref())).await.map_err(io::Error::other);
            match done.and_then(|done| done) {
                Ok(()) => (written, known, complained) = (now, true, false),
                Err(error) if complained => tracing::debug!(path = %path.display(), %error, "state_file not written"),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "state_file not written; it is tried again");
                    complained = true;
                }
            }
        }
        let rested = Instant::now() + EVERY;
        tokio::select! {
            () = stop.cancelled() => return,
            // Missed changes are changes too.
            _ = changes.recv() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(rested) => {}
        }
        // What came meanwhile is in the next copy.
        changes = changes.resubscribe();
    }
}

async fn current(app: &App) -> Option<String> {
    let run = app.active()?;
    // One whose log cannot be read has no state to show.
    let view = match app.live.view(run) {
        Some(view) => (*view).clone(),
        None => app.view(run).await.ok()?,
    };
    Some(crate::canonical::of(&view))
}

/// Puts the text there, or removes the file.
fn put(path: &Path, text: Option<&str>) -> io::Result<()> {
    let gone = |path: &Path| match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    let Some(text) = text else { return gone(path) };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    gone(&temporary)?;
    // Made anew, so that nobody can have put a link there.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    drop(file);
    std::fs::rename(&temporary, path)
}
