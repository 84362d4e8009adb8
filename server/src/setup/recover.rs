//! From logs to memory.

use std::collections::BTreeMap;

use comfyd_engine::journal::envelope;
use comfyd_engine::{Recorded, Seq, Setup, SetupEvent, SetupId, StreamId};

use crate::core::RecoverError;
use crate::store::{FileStore, Recovered};

/// Workflows that are over and stay in memory. Older ones are read from their logs when somebody asks for them.
const MAX_OVER: usize = 100;

/// Folds the log of every generic workflow, and keeps those that belong in memory. One whose log is damaged is set aside and shown as far as it can
/// be read; one that cannot be folded at all is set aside and not listed.
pub(crate) async fn recover(store: &FileStore, recovered: &Recovered) -> Vec<Setup> {
    let mut setups = BTreeMap::new();
    for found in &recovered.streams {
        let StreamId::Setup(id) = &found.stream else { continue };
        match fold(store, id).await {
            Ok(setup) => {
                setups.insert(id.clone(), setup);
            }
            Err(error) => {
                tracing::error!(setup = %id, %error, "workflow set aside: its log cannot be folded");
                store.quarantine(&found.stream, format!("failed to {error}"));
            }
        }
        if let Some(id) = surplus(&setups) {
            setups.remove(&id);
        }
    }
    setups.into_values().collect()
}

/// The oldest of those that are over, if there are more of them than belong in memory.
pub(super) fn surplus(setups: &BTreeMap<SetupId, Setup>) -> Option<SetupId> {
    let over = || setups.values().filter(|setup| setup.phase().is_over());
    let oldest = over().min_by_key(|setup| (setup.recorded(), setup.id()))?;
    (over().count() > MAX_OVER).then(|| oldest.id().clone())
}

/// A workflow from its log, as far as that can be read; none if there is no such log.
pub(crate) async fn recall(store: &FileStore, id: &SetupId) -> Result<Option<Setup>, RecoverError> {
    match fold(store, id).await {
        Ok(setup) => Ok(Some(setup)),
        Err(RecoverError::Empty(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Damage sets the stream aside while it is read.
async fn fold(store: &FileStore, id: &SetupId) -> Result<Setup, RecoverError> {
    let stream = StreamId::Setup(id.clone());
    let mut setup: Option<Setup> = None;
    for (seq, payload) in store.read(&stream, Seq(0)).await?.records {
        let decoded = envelope::read::<SetupEvent>(&payload);
        let (at, event) = decoded.map_err(|source| RecoverError::Decode { stream: stream.clone(), seq, source })?;
        let Some(event) = event else {
            if let Some(setup) = &mut setup {
                setup.skip(seq);
            }
            continue;
        };
        let recorded = Recorded { seq, at, event };
        let done = match &mut setup {
            Some(setup) => setup.apply(&recorded),
            None => Setup::created(id.clone(), &recorded).map(|created| setup = Some(created)),
        };
        done.map_err(|source| RecoverError::Fold { stream: stream.clone(), source })?;
    }
    setup.ok_or(RecoverError::Empty(stream))
}

#[cfg(test)]
mod tests {
    use comfyd_engine::{PlannedStep, SetupCreated, SetupTarget, Timestamp};

    use super::*;

    fn setup(n: usize, over: bool) -> Setup {
        let step = PlannedStep { action: "wait".into(), label: "Wait".into(), enabled: !over, fields: [].into() };
        let created = SetupCreated { target: SetupTarget::default(), steps: vec![step], step_delay_ms: 0 };
        let at = Timestamp(1_000 - n as u64);
        let id = format!("w{n}").parse().expect("a good id");
        Setup::created(id, &Recorded { seq: Seq(1), at, event: created.into() }).expect("a first fact")
    }

    #[test]
    fn the_oldest_that_are_over_leave_memory() {
        let mut setups = BTreeMap::new();
        let mut add = |setup: Setup| {
            setups.insert(setup.id().clone(), setup);
            surplus(&setups).map(|id| id.to_string())
        };
        assert_eq!((0..MAX_OVER).filter_map(|n| add(setup(n, true))).count(), 0);
        assert_eq!(add(setup(900, false)), None, "what is open stays");
        assert_eq!(add(setup(MAX_OVER, true)).as_deref(), Some("w100"));
    }
}
