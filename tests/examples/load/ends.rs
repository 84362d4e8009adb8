//! Who waits for which end: ends may be told before anybody waits.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How long an end is waited for before the server is asked: an instant run takes a hundredth of that.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Waiting {
    waiting: HashMap<String, oneshot::Sender<()>>,
    early: HashSet<String>,
}

/// The ends that a shared stream tells.
#[derive(Clone, Default)]
pub(crate) struct Ends(Arc<Mutex<Waiting>>);

impl Ends {
    /// Somebody's work ended.
    pub(crate) fn told(&self, id: &str) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = inner.waiting.remove(id) {
            // It may have given up.
            let _ = waiter.send(());
        } else {
            inner.early.insert(id.to_owned());
        }
    }

    /// Waits for an end; false if it was not told in time.
    pub(crate) async fn wait(&self, id: &str) -> bool {
        let told = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.early.remove(id) {
                return true;
            }
            let (waiter, told) = oneshot::channel();
            inner.waiting.insert(id.to_owned(), waiter);
            told
        };
        tokio::time::timeout(PATIENCE, told).await.is_ok_and(|told| told.is_ok())
    }
}

/// The text between two others.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
