//! What can be done with instances, behind every door.

use std::collections::BTreeMap;
use std::sync::Arc;

use comfyd_adapters::env::{Clock, Rng};
use comfyd_adapters::hot::Hot;
use comfyd_engine::{ClientId, Connection, Expect, Input, InstanceId, InstanceSetup, InstanceSource, Timestamp};
use tokio::sync::{Mutex, Notify, Semaphore};

use super::address::check_url;
use super::board::{Board, Known};
use super::classes::Shelf;
use super::declared::{Declared, check_label, check_name};
use super::look::LOOKS;
use super::roads::Roads;
use super::ssh::{SshWish, understood};
use super::view::{InstanceView, Load};
use crate::core::CoreHandle;
use crate::dispatch::Connector;
use crate::intake::Rules;
use crate::known::KnownInstances;
use crate::live::Live;
use crate::offload::Offload;
use crate::problem::Problem;

/// How an instance is reached, as somebody writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By its address: loopback or an allowed host.
    Url(String),
    /// Over SSH.
    Ssh(SshWish),
}

/// An instance to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    /// Its name.
    pub name: InstanceId,
    /// How it is reached.
    pub place: Place,
    /// What people call it.
    pub label: Option<String>,
    /// Whether runs that name no instance go there.
    pub default: bool,
}

/// What to change of an instance; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetInstance {
    /// How it is reached.
    pub place: Option<Place>,
    /// What people call it; empty for nothing.
    pub label: Option<String>,
    /// Whether runs that name no instance go there.
    pub default: Option<bool>,
}

/// What it is made of.
pub(crate) struct InstancesParts {
    pub(crate) core: CoreHandle,
    pub(crate) board: Arc<Board>,
    pub(crate) live: Arc<Live>,
    pub(crate) roads: Arc<Roads>,
    pub(crate) linked: Arc<KnownInstances>,
    pub(crate) rules: Hot<Rules>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) offload: Offload,
}

/// The instances.
pub(crate) struct Instances {
    pub(super) core: CoreHandle,
    pub(super) board: Arc<Board>,
    pub(super) live: Arc<Live>,
    pub(super) connector: Connector,
    pub(super) roads: Arc<Roads>,
    pub(super) linked: Arc<KnownInstances>,
    pub(super) rules: Hot<Rules>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Arc<dyn Rng>,
    pub(super) declared: Mutex<Declared>,
    pub(super) owed: Notify,
    pub(super) offload: Offload,
    pub(super) looks: Semaphore,
    pub(super) shelf: Shelf,
    /// What a change leaves out stays as it is, so changes go one by one.
    edits: Mutex<()>,
}

impl Instances {
    pub(crate) fn new(parts: InstancesParts) -> Self {
        let InstancesParts { core, board, live, roads, linked, rules, clock, rng, offload } = parts;
        Self {
            core,
            board,
            live,
            connector: roads.connector(),
            roads,
            linked,
            rules,
            clock,
            rng,
            declared: Mutex::default(),
            owed: Notify::new(),
            offload,
            looks: Semaphore::new(LOOKS),
            shelf: Shelf::default(),
            edits: Mutex::default(),
        }
    }

    /// Tells that some of them have changed.
    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.board.changes()
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<InstanceView> {
        let loads = self.live.loads();
        self.board.all().iter().map(|known| self.view(known, &loads)).collect()
    }

    /// One of them.
    pub(crate) fn one(&self, name: &str) -> Result<InstanceView, Problem> {
        let known = self.known(name)?;
        Ok(self.view(&known, &self.live.loads()))
    }

    fn view(&self, known: &Known, loads: &BTreeMap<InstanceId, Load>) -> InstanceView {
        let id = known.instance.id();
        let view = InstanceView::of(known, self.board.seen(id), loads.get(id).copied().unwrap_or_default());
        match &self.rules.get().default_url {
            // What the server was started with comes first.
            Some(url) => InstanceView { default: view.url == *url, ..view },
            None => view,
        }
    }

    /// The instance of this name.
    pub(super) fn known(&self, name: &str) -> Result<Arc<Known>, Problem> {
        let id = name.parse::<InstanceId>().ok();
        id.and_then(|id| self.board.get(&id)).ok_or_else(|| Problem::unknown_instance(name, &self.board.nearest(name)))
    }

    /// Adds one.
    pub(crate) async fn add(&self, new: NewInstance) -> Result<InstanceView, Problem> {
        check_name(&new.name)?;
        let setup = InstanceSetup {
            connection: self.connection(&new.place)?,
            label: checked(new.label)?,
            source: InstanceSource::Api,
            default: new.default,
        };
        self.set(new.name, setup, Expect::New).await
    }

    /// Changes one.
    pub(crate) async fn edit(&self, name: &str, change: SetInstance) -> Result<InstanceView, Problem> {
        let _turn = self.edits.lock().await;
        let known = self.known(name)?;
        let before = known.instance.setup();
        let connection = match &change.place {
            Some(place) => self.connection(place)?,
            None => before.connection.clone(),
        };
        let setup = InstanceSetup {
            connection,
            label: if change.label.is_some() { checked(change.label)? } else { before.label.clone() },
            // One that a run made known is kept from now on.
            source: InstanceSource::Api,
            default: change.default.unwrap_or(before.default),
        };
        self.set(known.instance.id().clone(), setup, Expect::Known).await
    }

    /// What a place means.
    pub(super) fn connection(&self, place: &Place) -> Result<Connection, Problem> {
        Ok(match place {
            Place::Url(url) => Connection::Url(check_url(url, self.rules.get().url_hosts.as_deref())?.to_string()),
            Place::Ssh(wish) => Connection::Ssh(understood(wish, self.rules.get().comfyui_port)?.0),
        })
    }

    async fn set(&self, instance: InstanceId, setup: InstanceSetup, expect: Expect) -> Result<InstanceView, Problem> {
        if let (true, Some(url)) = (setup.default, &self.rules.get().default_url) {
            let message = format!("default: the server was started with {url} for runs that name no instance");
            return Err(Problem::new(
                409,
                "default_is_fixed",
                message,
                "Start it without that address to choose a default here.",
            ));
        }
        let name = instance.to_string();
        let input = Input::SetInstance { instance, client: self.draw_client(), setup, expect };
        self.core.ask(input).await.map_err(Problem::from)?;
        self.one(&name)
    }

    /// Removes one; its runs stay in history.
    pub(crate) async fn remove(&self, name: &str) -> Result<InstanceId, Problem> {
        let instance = self.known(name)?.instance.id().clone();
        let input = Input::RemoveInstance { instance: instance.clone(), by: InstanceSource::Api };
        self.core.ask(input).await.map_err(Problem::from)?;
        self.roads.forget(&instance);
        Ok(instance)
    }

    pub(super) fn draw_client(&self) -> ClientId {
        ClientId(crate::intake::new_run_id(Timestamp(0), &*self.rng).uuid().simple().to_string())
    }
}

/// A label that can be shown; an empty one is none.
fn checked(label: Option<String>) -> Result<Option<String>, Problem> {
    let label = label.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
    check_label(label.as_deref())?;
    Ok(label)
}
