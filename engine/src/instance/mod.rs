//! One instance: how it is reached, whether it answers, who we are there, how often it was seen to restart.

use crate::event::{Connection, HostKeyTrusted, InstanceEvent, InstanceSetup, InstanceSource, InstanceUp, Obstacle, Recorded};
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

/// Why an instance did not answer when that was last so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When it was noticed.
    pub at: Timestamp,
    /// What was tried and what came of it.
    pub why: String,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    id: InstanceId,
    client: ClientId,
    setup: InstanceSetup,
    removed: bool,
    reach: Reach,
    boot: u64,
    ever_up: bool,
    version: Option<String>,
    trouble: Option<Trouble>,
    process: Option<String>,
    trusted: Vec<HostKeyTrusted>,
    obstacle: Option<Obstacle>,
    changed: Timestamp,
    seq: Seq,
    updated: Timestamp,
}

impl Instance {
    /// The instance that the first fact of a stream makes known.
    ///
    /// # Errors
    /// If the fact does not say how the instance is reached, or its place is not 1.
    pub fn added(id: InstanceId, recorded: &Recorded<InstanceEvent>) -> Result<Self, Unexpected> {
        let (client, setup) = match &recorded.event {
            InstanceEvent::InstanceAdded(added) if recorded.seq == Seq(1) => (&added.client, adhoc(&added.url)),
            InstanceEvent::InstanceConfigured(configured) if recorded.seq == Seq(1) => {
                (&configured.client, configured.setup.clone())
            }
            // Whatever else stands first, the stream is not an instance's.
            other => return Err(Unexpected { seq: recorded.seq, kind: other.kind(), phase: "none" }),
        };
        Ok(Self {
            id,
            client: client.clone(),
            setup,
            removed: false,
            reach: Reach::Offline { why: None },
            boot: 0,
            ever_up: false,
            version: None,
            trouble: None,
            process: None,
            trusted: Vec::new(),
            obstacle: None,
            changed: recorded.at,
            seq: recorded.seq,
            updated: recorded.at,
        })
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
            InstanceEvent::InstanceAdded(added) => self.set_up(recorded.at, adhoc(&added.url)),
            InstanceEvent::InstanceConfigured(configured) => self.set_up(recorded.at, configured.setup.clone()),
            InstanceEvent::InstanceRemoved(_) => {
                self.removed = true;
                self.setup.default = false;
                self.reaches(recorded.at, Reach::Offline { why: None });
            }
            InstanceEvent::InstanceUp(up) => {
                let since = match self.reach {
                    Reach::Online { since, .. } => since,
                    Reach::Offline { .. } => recorded.at,
                };
                self.ever_up = true;
                self.obstacle = None;
                self.version.clone_from(&up.version);
                if up.process.is_some() {
                    self.process.clone_from(&up.process);
                }
                self.reaches(recorded.at, Reach::Online { since, up: up.clone() });
            }
            InstanceEvent::InstanceDown(down) => {
                self.trouble = Some(Trouble { at: recorded.at, why: down.why.clone() });
                self.obstacle.clone_from(&down.obstacle);
                self.reaches(recorded.at, Reach::Offline { why: Some(down.why.clone()) });
            }
            InstanceEvent::InstanceLetGo(_) => self.reaches(recorded.at, Reach::Offline { why: None }),
            InstanceEvent::InstanceRestarted(_) => {
                self.boot += 1;
                self.process = None;
            }
            InstanceEvent::HostKeyTrusted(trusted) => {
                self.trusted.retain(|known| known.machine != trusted.machine);
                self.trusted.push(trusted.clone());
            }
        }
        self.seq = recorded.seq;
        self.updated = recorded.at;
        Ok(())
    }

    /// Another address is another server: nothing that was learned holds there.
    fn set_up(&mut self, at: Timestamp, setup: InstanceSetup) {
        if self.removed || setup.connection.url() != self.setup.connection.url() {
            self.reaches(at, Reach::Offline { why: None });
            self.ever_up = false;
            self.version = None;
            self.trouble = None;
            self.process = None;
            self.obstacle = None;
            self.trusted.clear();
            self.boot += 1;
        }
        self.removed = false;
        self.setup = setup;
    }

    fn reaches(&mut self, at: Timestamp, reach: Reach) {
        if std::mem::discriminant(&self.reach) != std::mem::discriminant(&reach) {
            self.changed = at;
        }
        self.reach = reach;
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

    /// How it is reached and what it is called.
    pub fn setup(&self) -> &InstanceSetup {
        &self.setup
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.setup.connection.url()
    }

    /// Whether it is not to be used any more.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// The version that it told last.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Why it did not answer when that was last so.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// What stood in the way when it did not answer last, until a person acts.
    pub fn obstacle(&self) -> Option<&Obstacle> {
        self.obstacle.as_ref()
    }

    /// Which process it was last, where the way there tells.
    pub fn process(&self) -> Option<&str> {
        self.process.as_deref()
    }

    /// The keys of machines on the way there that somebody accepted.
    pub fn trusted(&self) -> &[HostKeyTrusted] {
        &self.trusted
    }

    /// Since when it answers, or does not.
    pub fn changed_at(&self) -> Timestamp {
        self.changed
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

/// What a run says of an instance whose address it names.
fn adhoc(url: &str) -> InstanceSetup {
    InstanceSetup { connection: Connection::Url(url.to_owned()), label: None, source: InstanceSource::Adhoc, default: false }
}
