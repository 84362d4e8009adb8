//! Puts the parts together, the same way for a real server and for a simulated one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::comfy::tuning::Tuning;
use comfyd_adapters::env::{Clock, Rng};
use comfyd_adapters::hot::Hot;
use comfyd_adapters::ssh::Surroundings;
use tokio::sync::watch;

use crate::app::{App, Readiness};
use crate::core::{Core, CoreConfig, CoreHandle, CoreParts, RecoverError, recover};
use crate::dismissed::Dismissed;
use crate::dispatch::{ByUrl, DispatchDeps, Dispatcher};
use crate::history::History;
use crate::instances::{Board, Instances, InstancesParts, Roads};
use crate::intake::{Durations, Intake, Rules};
use crate::keeper::Keeper;
use crate::known::KnownInstances;
use crate::live::{Live, SpentKey};
use crate::offload::Offload;
use crate::outputs::OutputFolder;
use crate::retention::RetentionRules;
use crate::setup::{self, SetupLoop, SetupParts, Setups};
use crate::showing::Showing;
use crate::spool::Spool;
use crate::store::{Disk, FileStore, JournalVerdict, Recovered};
use crate::templates::Library;
use crate::vault::Vault;

/// A link that no run needs is let go after this time: long enough for the next run of somebody who tries things out.
const IDLE_LINK: Duration = Duration::from_mins(5);

/// Everything that a server stands on.
pub(crate) struct Ground {
    pub(crate) root: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) offload: Offload,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) by_url: ByUrl,
    pub(crate) surroundings: Surroundings,
    pub(crate) core: CoreConfig,
    pub(crate) rules: Hot<Rules>,
    pub(crate) tuning: Hot<Tuning>,
    pub(crate) spool: Spool,
    pub(crate) retention: RetentionRules,
    pub(crate) templates: Library,
    /// How long what has ended stays in the live view.
    pub(crate) state_cleanup_delay: Duration,
}

/// A server that is put together; its core loop is yet to be run.
pub(crate) struct Assembled {
    pub(crate) app: App,
    pub(crate) core: Core,
    pub(crate) keeper: Keeper,
    pub(crate) setups: SetupLoop,
}

/// What is shown of what has ended.
async fn showing(ground: &Ground) -> Showing {
    let dismissed = Dismissed::open(&ground.root, Arc::clone(&ground.disk), ground.offload).await;
    let delay_ms = u64::try_from(ground.state_cleanup_delay.as_millis()).unwrap_or(u64::MAX);
    Showing { delay_ms, dismissed }
}

/// Folds the logs and puts the parts together.
pub(crate) async fn assemble(ground: Ground, store: FileStore, recovered: Recovered) -> Result<Assembled, RecoverError> {
    let store = Arc::new(store);
    let live = Arc::new(Live::default());
    let folded = recover(&store, &recovered, ground.core.limits.clone(), &live).await?;
    know_spent_keys(&store, &live).await;
    let setups = setup::recover(&store, &recovered).await;
    let newest = setups.iter().map(comfyd_engine::Setup::recorded).max();
    ground.clock.not_before(newest.map_or(folded.engine.newest(), |at| at.max(folded.engine.newest())));
    let showing = Arc::new(showing(&ground).await);
    let (readiness, readiness_seen) = watch::channel(match recovered.journal {
        JournalVerdict::Damaged { why } => Readiness::ReadOnly(why),
        JournalVerdict::Clean | JournalVerdict::Repaired(_) => Readiness::Ready,
    });
    let (handle, inbox) = CoreHandle::channel();
    let vault = Arc::new(Vault::new(Arc::clone(&store)));
    let sink =
        Arc::new(OutputFolder::new(ground.root.clone(), ground.disk, ground.offload, Arc::clone(&live), ground.rules.clone()));
    let known = Arc::new(KnownInstances::default());
    let board = Arc::new(Board::default());
    let roads = Arc::new(Roads::new(ground.by_url, &board, ground.surroundings, ground.tuning.clone(), &ground.rng));
    let dispatcher = Dispatcher::new(DispatchDeps {
        connector: roads.connector(),
        inputs: handle.inputs(),
        vault: Arc::clone(&vault),
        sink,
        rng: Arc::clone(&ground.rng),
        live: Arc::clone(&live),
        known: Arc::clone(&known),
        tuning: ground.tuning,
        idle: IDLE_LINK,
    });
    let instances = Instances::new(InstancesParts {
        core: handle.clone(),
        board: Arc::clone(&board),
        live: Arc::clone(&live),
        roads: Arc::clone(&roads),
        linked: Arc::clone(&known),
        rules: ground.rules.clone(),
        clock: Arc::clone(&ground.clock),
        rng: Arc::clone(&ground.rng),
        offload: ground.offload,
    });
    let durations = Arc::new(Durations::default());
    let templates = Arc::new(ground.templates);
    let intake = Intake {
        rules: ground.rules,
        vault,
        rng: Arc::clone(&ground.rng),
        durations: Arc::clone(&durations),
        store: Arc::clone(&store),
        offload: ground.offload,
        board: Arc::clone(&board),
        templates: Arc::clone(&templates),
        known,
    };
    let (past, seen) = (Arc::clone(&store), Arc::clone(&live));
    let history = Arc::new(History { store: past, live: seen, clock: Arc::clone(&ground.clock), root: ground.root });
    let (retention, rules) = watch::channel(ground.retention);
    let (setup_handle, setup_inbox) = Setups::channel();
    let keeper = Keeper { history: Arc::clone(&history), offload: ground.offload, rules, setups: setup_handle.clone() };
    let core = Core::new(CoreParts {
        recovered: folded,
        store: Arc::clone(&store),
        live: Arc::clone(&live),
        dispatcher,
        clock: Arc::clone(&ground.clock),
        inbox,
        config: ground.core,
        readiness,
        durations,
        board,
    });
    let started = ground.clock.now();
    let app = App {
        core: handle,
        live,
        history,
        intake: Arc::new(intake),
        instances: Arc::new(instances),
        templates,
        clock: ground.clock,
        rng: ground.rng,
        readiness: readiness_seen,
        retention: Arc::new(retention),
        keyed: Arc::default(),
        spool: ground.spool,
        showing,
        setups: setup_handle.clone(),
        started,
    };
    let setups = SetupLoop::new(SetupParts {
        recovered: setups,
        store,
        clock: Arc::clone(&app.clock),
        runners: setup::runners(&app, &roads.connector()),
        handle: setup_handle,
        inbox: setup_inbox,
    });
    Ok(Assembled { app, core, keeper, setups })
}

/// Takes in the keys of removed runs.
async fn know_spent_keys(store: &FileStore, live: &Live) {
    let notes = store.notes().await.unwrap_or_else(|error| {
        tracing::error!(%error, "the keys of removed runs cannot be read");
        vec![]
    });
    for (run, text) in notes {
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%run, %error, "the key of a removed run cannot be read");
                continue;
            }
        };
        match SpentKey::read(&text) {
            Ok(spent) => {
                if !live.know_spent(run, spent) {
                    // It was not removed in the end; a note that stays is looked at by the next start.
                    drop(store.drop_note(run).await);
                }
            }
            Err(error) => tracing::warn!(%run, %error, "the key of a removed run cannot be understood"),
        }
    }
}
