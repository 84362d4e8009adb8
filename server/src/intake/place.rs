//! Where a run goes: the instance that a request names, or the default.
//!
//! Invariant: a server that has a name is one instance, however it is asked for. Absent: which instances there are; see the board.

use comfyd_engine::{ClientId, Connection, Expect, Input, InstanceId, InstanceSetup, InstanceSource, Timestamp};

use super::Target;
use super::prepare::{Intake, new_run_id};
use crate::core::CoreHandle;
use crate::instances::{check_url, instance_of, understood};
use crate::problem::Problem;

impl Intake {
    /// Where an instance is, without making it known.
    pub(crate) fn address(&self, target: Option<&Target>) -> Result<(InstanceId, Connection), Problem> {
        let rules = self.rules.get();
        let of_known = |id: &InstanceId| {
            let known = self.board.get(id).map(|known| (id.clone(), known.instance.setup().connection.clone()));
            known.ok_or_else(|| Problem::unknown_instance(id.as_str(), &self.board.nearest(id.as_str())))
        };
        let url = match (target, &rules.default_url) {
            (Some(Target::Instance(id)), _) => return of_known(id),
            (Some(Target::Ssh(wish)), _) => {
                let (ssh, _) = understood(wish, rules.comfyui_port)?;
                return match self.board.named_at(&ssh.url) {
                    Some(named) => of_known(&named),
                    None => Ok((instance_of(&ssh)?, Connection::Ssh(ssh))),
                };
            }
            (Some(Target::Url(url)), _) | (None, Some(url)) => url,
            (None, None) => return of_known(&self.board.chosen().ok_or_else(no_instance)?),
        };
        let default = rules.default_url.as_deref() == Some(url);
        let address = check_url(url, rules.url_hosts.as_deref().filter(|_| !default))?;
        // A server that has a name is one instance, however it is asked for.
        if let Some(named) = self.board.named_at(&address.to_string()) {
            return of_known(&named);
        }
        Ok((address.instance_id(), Connection::Url(address.to_string())))
    }

    /// The instance that is wanted, made known if it is not.
    pub(crate) async fn instance(&self, target: Option<&Target>, core: &CoreHandle) -> Result<InstanceId, Problem> {
        let (instance, connection) = self.address(target)?;
        let known = self.board.get(&instance);
        if known.is_some_and(|known| serves(&known.instance.setup().connection, &connection)) {
            return Ok(instance);
        }
        let client = ClientId(new_run_id(Timestamp(0), &*self.rng).uuid().simple().to_string());
        let input = match connection {
            Connection::Url(url) => Input::AddInstance { instance: instance.clone(), client, url },
            Connection::Ssh(_) => {
                let setup = InstanceSetup { connection, label: None, source: InstanceSource::Adhoc, default: false };
                Input::SetInstance { instance: instance.clone(), client, setup, expect: Expect::Any }
            }
        };
        core.ask(input).await.map_err(Problem::from)?;
        Ok(instance)
    }

    /// How an instance is reached over SSH, without keys; none if it is reached straight.
    pub(super) fn ssh_of(&self, instance: &InstanceId) -> Option<String> {
        self.board.get(instance)?.instance.setup().connection.ssh().map(|ssh| ssh.command.clone())
    }
}

/// Whether an instance is what somebody names: how to log in there is left as it is where nothing is said of it.
fn serves(known: &Connection, named: &Connection) -> bool {
    match (known, named) {
        (Connection::Ssh(known), Connection::Ssh(named)) => {
            let agrees = |named: &Option<String>, known: &Option<String>| named.is_none() || named == known;
            known.url == named.url
                && agrees(&named.identity, &known.identity)
                && agrees(&named.password_file, &known.password_file)
                && agrees(&named.output_dir, &known.output_dir)
        }
        (known, named) => known == named,
    }
}

fn no_instance() -> Problem {
    let hint = "Give the address of a ComfyUI as `url`, or on the command line as --url http://127.0.0.1:8188.";
    Problem::invalid("no_instance", "the request names no instance, and none is the default", hint)
}
