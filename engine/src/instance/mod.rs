//! One instance: whether it answers, who we are there, how often it was seen to restart.

use crate::event::{InstanceEvent, InstanceUp, Recorded};
use crate::id::{ClientId, InstanceId, Seq};
use crate::run::Unexpected;
use crate::time::Timestamp;

/// Whether an instance answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not tried since the start, or it does not answer.
    Offline {
        /// What was tried last.
        why: Option<String>,
    },
    /// It answers.
    Online {
        /// Since when.
        since: Timestamp,
        /// Its version and whether frames come.
        up: InstanceUp,
    },
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    id: InstanceId,
    client: ClientId,
    url: String,
    reach: Reach,
    boot: u64,
    ever_up: bool,
    seq: Seq,
    updated: Timestamp,
}

impl Instance {
    /// The instance that the first fact of a stream makes known.
    ///
    /// # Errors
    /// If the fact is not `instance_added` at place 1.
    pub fn added(id: InstanceId, recorded: &Recorded<InstanceEvent>) -> Result<Self, Unexpected> {
        match &recorded.event {
            InstanceEvent::InstanceAdded(added) if recorded.seq == Seq(1) => Ok(Self {
                id,
                client: added.client.clone(),
                url: added.url.clone(),
                reach: Reach::Offline { why: None },
                boot: 0,
                ever_up: false,
                seq: recorded.seq,
                updated: recorded.at,
            }),
            // Whatever else stands first, the stream is not an instance's.
            other => Err(Unexpected { seq: recorded.seq, kind: other.kind(), phase: "none" }),
        }
    }

    /// Folds a fact.
    ///
    /// # Errors
    /// If the fact cannot follow.
    pub fn apply(&mut self, recorded: &Recorded<InstanceEvent>) -> Result<(), Unexpected> {
        if recorded.seq != self.seq.next() {
            return Err(Unexpected { seq: recorded.seq, kind: recorded.event.kind(), phase: "known" });
        }
        match &recorded.event {
            // The same instance under a new address; who we are there stays.
            InstanceEvent::InstanceAdded(added) => self.url.clone_from(&added.url),
            InstanceEvent::InstanceUp(up) => {
                let since = match self.reach {
                    Reach::Online { since, .. } => since,
                    Reach::Offline { .. } => recorded.at,
                };
                self.ever_up = true;
                self.reach = Reach::Online { since, up: up.clone() };
            }
            InstanceEvent::InstanceDown(down) => self.reach = Reach::Offline { why: Some(down.why.clone()) },
            InstanceEvent::InstanceRestarted(_) => self.boot += 1,
        }
        self.seq = recorded.seq;
        self.updated = recorded.at;
        Ok(())
    }

    /// After a start of comfyd nothing is known of the way there.
    pub(crate) fn forget_reach(&mut self) {
        self.reach = Reach::Offline { why: None };
    }

    /// The way there is as another copy knows it.
    pub(crate) fn remember_reach(&mut self, known: &Self) {
        self.reach = known.reach.clone();
    }

    /// Its id.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Our `clientId` there.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it answers.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Whether it answers.
    pub fn is_online(&self) -> bool {
        match self.reach {
            Reach::Online { .. } => true,
            Reach::Offline { .. } => false,
        }
    }

    /// Whether its `progress_state` frames tell when nodes end: `ComfyUI` 0.3.45 on.
    pub(crate) fn tells_ends(&self) -> bool {
        let Reach::Online { up, .. } = &self.reach else { return false };
        let version = up.version.as_deref().unwrap_or_default().trim_start_matches('v');
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        let number = (parts.next().flatten(), parts.next().flatten(), parts.next().flatten());
        number >= (Some(0), Some(3), Some(45))
    }

    /// How often it was seen to restart.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Whether it ever answered.
    pub fn was_ever_up(&self) -> bool {
        self.ever_up
    }

    /// When the newest fact was recorded.
    pub fn updated_at(&self) -> Timestamp {
        self.updated
    }

    /// The place of the newest folded fact.
    pub fn seq(&self) -> Seq {
        self.seq
    }
}
