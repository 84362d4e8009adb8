//! Turns at names: whoever asks for the same name waits, whoever asks for another does not.
//!
//! Invariant: a name is kept only while somebody has its turn or waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// The turns that are taken.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    by_name: std::sync::Mutex<BTreeMap<String, Weak<Mutex<()>>>>,
}

/// A turn: it lasts until this is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits for the turn at a name, in the order of asking.
    pub(crate) async fn turn(&self, name: &str) -> Turn {
        self.of(name).lock_owned().await
    }

    fn of(&self, name: &str) -> Arc<Mutex<()>> {
        // Every statement leaves the map whole, so a panic elsewhere does not spoil it.
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_name.get(name).and_then(Weak::upgrade) {
            return known;
        }
        by_name.retain(|_, taken| taken.strong_count() > 0);
        let new = Arc::default();
        by_name.insert(name.to_owned(), Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_same_name_waits_and_another_does_not() {
        let turns = Turns::default();
        let first = turns.turn("a").now_or_never().expect("nobody has it");
        let mut second = Box::pin(turns.turn("a"));
        assert!((&mut second).now_or_never().is_none(), "it is taken");
        assert!(turns.turn("b").now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some(), "it is free again");
        turns.of("c");
        assert_eq!(turns.by_name.lock().expect("whole").len(), 1, "names that nobody holds are let go");
    }
}
