//! After a failed write: memory goes back to what is on disk, and what was lost with it is asked for again.

use comfyd_engine::{Input, RunId, StreamId};

use super::batch::{Batch, Reply};
use super::instances::show;
use super::message::{AskError, Message};
use super::recovery::{self, RecoverError};
use super::task::{CATCH_UP_MAX_MS, CATCH_UP_MS, Core};
use crate::app::Readiness;
use crate::store::{AppendError, Sync};

impl Core {
    /// Nothing of the batch happened: memory goes back to what is on disk, waiters are told.
    pub(super) async fn retreat(&mut self, batch: Batch, error: &AppendError) {
        tracing::error!(%error, "batch not written");
        let disk_full = matches!(error, AppendError::DiskFull(_));
        let refolded = recovery::refold(&self.store, &self.engine, &batch.streams()).await;
        self.engine = refolded.engine;
        // It counts its moves anew.
        self.positions_of = None;
        self.dispatcher.look_again();
        self.unread.extend(refolded.unread);
        show(&self.board, &self.engine, &self.dispatcher);
        for Reply { to, .. } in batch.replies {
            let why = error.to_string();
            let too_large = matches!(error, AppendError::PayloadSize { .. });
            // The caller may have gone; then nobody needs the answer.
            let _ = to.send(Err(if too_large { AskError::TooLarge { why } } else { AskError::NotStored { why, disk_full } }));
        }
        if let AppendError::ReadOnly { why } = error {
            self.readiness.send_replace(Readiness::ReadOnly(why.clone()));
        }
        for id in &batch.touched {
            if let Some(why) = self.store.quarantined(&StreamId::Run(*id)) {
                self.live.quarantine(*id, &why);
                self.live.close(*id);
                self.dispatcher.forget_run(*id);
                self.snapshots.remove(id);
            }
        }
        let now = self.clock.now();
        self.behind.extend(&batch.touched);
        // A log that takes no writes takes none in a second either.
        let hopeless = matches!(error, AppendError::ReadOnly { .. } | AppendError::Stopped);
        self.catch_up_at = (!hopeless).then(|| now.plus_ms(self.catch_up_after_ms));
        self.publish(batch.touched, now);
    }

    /// What came in with a failed batch is lost: those runs are asked for as after a start.
    pub(super) async fn catch_up(&mut self) {
        self.catch_up_at = None;
        self.catch_up_after_ms = (self.catch_up_after_ms * 2).min(CATCH_UP_MAX_MS);
        self.read_again().await;
        // An answer that is still to come says more than a doubt.
        let behind: Vec<RunId> = self.behind.iter().copied().filter(|run| !self.dispatcher.is_posting(*run)).collect();
        self.turn(vec![Message::Input(Input::CaughtUp(behind.clone()))]).await;
        // Nothing that was asked for is sent again before writing works: a sync shows that it does.
        let written = self.catch_up_at.is_none() && self.append(vec![], Sync::Now).await.is_ok();
        if !written {
            let again = self.clock.now().plus_ms(self.catch_up_after_ms);
            let read_only = matches!(*self.readiness.borrow(), Readiness::ReadOnly(_));
            self.catch_up_at = self.catch_up_at.or((!read_only).then_some(again));
            return;
        }
        self.catch_up_after_ms = CATCH_UP_MS;
        let owed: Vec<_> =
            behind.iter().filter_map(|id| self.engine.run(*id)).flat_map(comfyd_engine::Run::outstanding).collect();
        self.behind.retain(|run| !behind.contains(run));
        self.watch();
        self.dispatcher.send(owed);
        if !self.unread.is_empty() || !self.behind.is_empty() {
            self.catch_up_at = Some(self.clock.now().plus_ms(self.catch_up_after_ms));
        }
    }

    /// Takes in runs whose logs could not be read after a failed write, as soon as they can.
    async fn read_again(&mut self) {
        for id in std::mem::take(&mut self.unread) {
            match crate::history::fold(&self.store, id, None).await {
                Ok(folded) => {
                    self.engine.adopt(folded.run);
                    self.behind.insert(id);
                }
                Err(RecoverError::Empty(_)) => {}
                Err(error) => {
                    tracing::error!(run = %id, %error, "log still not readable");
                    self.unread.insert(id);
                }
            }
        }
    }
}
