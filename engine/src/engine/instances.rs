//! Which instances there are: added, set up anew, removed. Reads only.
//!
//! Invariants: an instance with open runs keeps its address, as another address is another server, where their prompts would be posted a second time;
//! an address belongs to one instance that was set up; a run changes nothing for others; at most one is the default; what the configuration file has only the file changes.

use crate::event::{HostKeyTrusted, InstanceAdded, InstanceConfigured, InstanceRemoved, InstanceSetup, InstanceSource, NewEvent};
use crate::id::{ClientId, InstanceId};
use crate::input::{Expect, Refusal};
use crate::instance::Instance;

use super::Engine;

impl Engine {
    /// The instance of this name, unless it was removed.
    pub fn usable(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id).filter(|instance| !instance.is_removed())
    }

    /// How many runs of an instance still need it. Those that have ended and have their outputs do not.
    pub fn open_on(&self, id: &InstanceId) -> usize {
        self.runs.values().filter(|run| run.instance() == id && run.needs_instance()).count()
    }

    /// A run names an address: the instance there is known by a name of its own.
    pub(super) fn decide_add(&self, id: &InstanceId, client: &ClientId, url: &str) -> Result<Vec<NewEvent>, Refusal> {
        let added = |client: &ClientId| {
            vec![NewEvent::Instance(id.clone(), InstanceAdded { client: client.clone(), url: url.to_owned() }.into())]
        };
        let Some(known) = self.instances.get(id) else { return Ok(added(client)) };
        if !known.is_removed() && known.url() == url {
            return Ok(vec![]);
        }
        let free = known.is_removed() || known.setup().source == InstanceSource::Adhoc;
        if !free || self.open_on(id) > 0 {
            return Err(Refusal::NameTaken { instance: id.clone(), url: url.to_owned() });
        }
        Ok(self.leave(id).into_iter().chain(added(known.client())).collect())
    }

    pub(super) fn decide_set(
        &self,
        id: &InstanceId,
        client: &ClientId,
        setup: &InstanceSetup,
        expect: Expect,
    ) -> Result<Vec<NewEvent>, Refusal> {
        let known = self.instances.get(id);
        let usable = self.usable(id);
        let same_place = usable.is_some_and(|known| known.url() == setup.connection.url());
        if let Some(known) =
            usable.filter(|known| setup.source == InstanceSource::Adhoc && known.setup().source != InstanceSource::Adhoc)
        {
            // A run that names an address changes nothing that somebody set up.
            let url = setup.connection.url().to_owned();
            return if same_place { Ok(vec![]) } else { Err(Refusal::NameTaken { instance: known.id().clone(), url }) };
        }
        match (expect, usable) {
            (Expect::Known, None) => return Err(Refusal::UnknownInstance(id.clone())),
            (Expect::New, Some(known)) if known.setup().source != InstanceSource::Adhoc || !same_place => {
                return Err(Refusal::InstanceExists(id.clone()));
            }
            (Expect::New | Expect::Any, None) | (Expect::New | Expect::Known | Expect::Any, Some(_)) => {}
        }
        check_source(usable, setup.source)?;
        let others = || self.set_up().filter(|other| other.id() != id);
        if let Some(other) = others().find(|other| other.url() == setup.connection.url()) {
            let url = setup.connection.url().to_owned();
            return Err(Refusal::AddressTaken { url, other: other.id().clone() });
        }
        let open = self.open_on(id);
        // Nor does a run that names a machine change how those log in that are there already.
        let other_login = setup.source == InstanceSource::Adhoc && usable.is_some_and(|known| known.setup() != setup);
        if open > 0 && (!same_place || other_login) {
            return Err(Refusal::InstanceBusy { instance: id.clone(), open });
        }
        let mut facts = Vec::new();
        if setup.default {
            for other in others().filter(|other| other.setup().default) {
                check_source(Some(other), setup.source)?;
                let setup = InstanceSetup { default: false, ..other.setup().clone() };
                facts.push(configured(other.id(), other.client(), setup));
            }
        }
        if !same_place {
            facts.extend(self.leave(id));
        }
        if usable.is_none_or(|known| known.setup() != setup) {
            facts.push(configured(id, known.map_or(client, Instance::client), setup.clone()));
        }
        Ok(facts)
    }

    pub(super) fn decide_remove(&self, id: &InstanceId, by: InstanceSource) -> Result<Vec<NewEvent>, Refusal> {
        let known = self.usable(id).ok_or_else(|| Refusal::UnknownInstance(id.clone()))?;
        check_source(Some(known), by)?;
        let open = self.open_on(id);
        if open > 0 {
            return Err(Refusal::InstanceBusy { instance: id.clone(), open });
        }
        let removed = NewEvent::Instance(id.clone(), InstanceRemoved {}.into());
        Ok(self.leave(id).into_iter().chain([removed]).collect())
    }

    pub(super) fn decide_trust(&self, id: &InstanceId, key: &HostKeyTrusted, replace: bool) -> Result<Vec<NewEvent>, Refusal> {
        let instance = self.usable(id).ok_or_else(|| Refusal::UnknownInstance(id.clone()))?;
        match instance.trusted().iter().find(|known| known.machine == key.machine) {
            Some(known) if known == key => Ok(vec![]),
            Some(known) if !replace => {
                let (machine, known) = (key.machine.clone(), known.fingerprint.clone());
                Err(Refusal::HostKeyKnown { instance: id.clone(), machine, known })
            }
            Some(_) | None => Ok(vec![NewEvent::Instance(id.clone(), key.clone().into())]),
        }
    }

    /// The instances that somebody set up, in order of their names.
    fn set_up(&self) -> impl Iterator<Item = &Instance> {
        let usable = self.instances.values().filter(|instance| !instance.is_removed());
        usable.filter(|instance| instance.setup().source != InstanceSource::Adhoc)
    }
}

fn check_source(known: Option<&Instance>, by: InstanceSource) -> Result<(), Refusal> {
    match known {
        Some(known) if known.setup().source == InstanceSource::Config && by != InstanceSource::Config => {
            Err(Refusal::InstanceOfConfig(known.id().clone()))
        }
        Some(_) | None => Ok(()),
    }
}

fn configured(id: &InstanceId, client: &ClientId, setup: InstanceSetup) -> NewEvent {
    NewEvent::Instance(id.clone(), InstanceConfigured { client: client.clone(), setup }.into())
}
