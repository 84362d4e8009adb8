//! From logs to memory.

use comfyd_engine::journal::envelope;
use comfyd_engine::{Recorded, Seq, Setup, SetupEvent, SetupId, StreamId};

use crate::core::RecoverError;
use crate::store::{FileStore, Recovered};

/// Folds the log of every generic workflow. One whose log cannot be folded is set aside and not shown.
pub(crate) async fn recover(store: &FileStore, recovered: &Recovered) -> Vec<Setup> {
    let mut setups = Vec::new();
    for found in &recovered.streams {
        let StreamId::Setup(id) = &found.stream else { continue };
        match fold(store, id).await {
            Ok(setup) => setups.push(setup),
            Err(error) => {
                tracing::error!(setup = %id, %error, "workflow set aside: its log cannot be folded");
                store.quarantine(&found.stream, format!("failed to {error}"));
            }
        }
    }
    setups
}

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
