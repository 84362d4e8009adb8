//! Instances of the configuration file: what stands there is so, as soon as no open run is in the way.
//!
//! Invariants: an entry that cannot be followed now is tried again until it can; an instance that was taken out of the file is removed, and its runs stay.

use std::collections::BTreeSet;
use std::time::Duration;

use comfyd_engine::{Connection, Expect, Input, InstanceId, InstanceSetup, InstanceSource, Refusal};

use tokio::sync::broadcast;

use super::address::parse_url;
use super::service::{Instances, Place};
use super::ssh::{COMFYUI_PORT, understood};
use crate::core::AskError;
use crate::live::Change;
use crate::problem::Problem;

/// How long until an entry is tried again that open runs are in the way of.
const AGAIN: Duration = Duration::from_secs(5);
/// A word of the API, where an instance of that name could not be asked for.
pub(super) const RESERVED: &str = "test";
/// The longest label.
const MAX_LABEL: usize = 200;

/// An instance as the configuration file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceEntry {
    /// Its name.
    pub name: InstanceId,
    /// How it is reached. Any host, as whoever writes the file may decide that.
    pub place: Place,
    /// What people call it.
    pub label: Option<String>,
    /// Whether runs that name no instance go there.
    pub default: bool,
}

/// What is wrong with entries of one file; empty if nothing is.
pub fn check_entries(entries: &[InstanceEntry]) -> Vec<Problem> {
    let mut wrong = Vec::new();
    let (mut names, mut urls) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        let at = |problem: Problem| Problem { message: format!("instances.{}: {}", entry.name, problem.message), ..problem };
        wrong.extend(check_name(&entry.name).err().map(at));
        wrong.extend(check_label(entry.label.as_deref()).err().map(at));
        match place_of(&entry.place) {
            Err(problem) => wrong.push(at(problem)),
            Ok(connection) => {
                if !urls.insert(connection.url().to_owned()) {
                    let message = format!("url: another instance has {} too", connection.url());
                    wrong.push(at(Problem::invalid("address_taken", message, "Give each instance an address of its own.")));
                }
            }
        }
        if !names.insert(&entry.name) {
            wrong.push(at(Problem::invalid(
                "instance_exists",
                "the name is there twice",
                "Give each instance a name of its own.",
            )));
        }
    }
    let defaults: Vec<&str> = entries.iter().filter(|entry| entry.default).map(|entry| entry.name.as_str()).collect();
    if defaults.len() > 1 {
        let message = format!("instances: {} are all the default", defaults.join(", "));
        wrong.push(Problem::invalid("two_defaults", message, "Keep `default: true` at one of them."));
    }
    wrong
}

/// What a place of the file means.
fn place_of(place: &Place) -> Result<Connection, Problem> {
    match place {
        Place::Url(url) => parse_url(url).map(|address| Connection::Url(address.to_string())),
        Place::Ssh(wish) => understood(wish, COMFYUI_PORT).map(|(ssh, _)| Connection::Ssh(ssh)),
    }
}

pub(super) fn check_name(name: &InstanceId) -> Result<(), Problem> {
    if name.as_str() == RESERVED {
        let message = format!("name: `{RESERVED}` is a word of the API");
        return Err(Problem::invalid("bad_instance", message, "Choose another name."));
    }
    Ok(())
}

pub(super) fn check_label(label: Option<&str>) -> Result<(), Problem> {
    let Some(label) = label else { return Ok(()) };
    if label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
        let message = format!("label: it is longer than {MAX_LABEL} characters or holds control characters");
        return Err(Problem::invalid("bad_label", message, "Shorten it, and keep it to one line."));
    }
    Ok(())
}

/// What the file says last, and whether all of it is so.
#[derive(Debug, Default)]
pub(super) struct Declared {
    entries: Vec<InstanceEntry>,
    owed: bool,
}

impl Instances {
    /// Makes what the file says so, at the start and whenever the file is read again. What open runs are in the way of follows when they have ended.
    pub(crate) async fn declare(&self, entries: Vec<InstanceEntry>) {
        let mut declared = self.declared.lock().await;
        declared.entries = entries;
        declared.owed = self.follow(&declared.entries).await;
        self.owed.notify_one();
    }

    /// Tries again what is owed, for ever.
    pub(crate) async fn keep_declared(&self) {
        loop {
            self.owed.notified().await;
            let mut changes = self.live.changes();
            while self.declared.lock().await.owed {
                // Mostly a run that was in the way has ended.
                let _ = tokio::time::timeout(AGAIN, self.a_run_ends(&mut changes)).await;
                let mut declared = self.declared.lock().await;
                if declared.owed {
                    declared.owed = self.follow(&declared.entries).await;
                }
            }
        }
    }

    async fn a_run_ends(&self, changes: &mut broadcast::Receiver<Change>) {
        loop {
            match changes.recv().await {
                Ok(Change::Run(run)) if self.live.summary(run).is_none_or(|summary| summary.status.is_settled()) => return,
                Ok(Change::Run(_)) => {}
                Ok(Change::Deleted(_)) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// One try; says whether something is to be tried again.
    async fn follow(&self, entries: &[InstanceEntry]) -> bool {
        let mut owed = false;
        let listed = |id: &InstanceId| entries.iter().any(|entry| entry.name == *id);
        let known = self.board.all();
        let gone = known.iter().map(|known| &known.instance).filter(|known| known.setup().source == InstanceSource::Config);
        for instance in gone.filter(|known| !listed(known.id())) {
            let input = Input::RemoveInstance { instance: instance.id().clone(), by: InstanceSource::Config };
            owed |= self.say(instance.id(), input).await;
            if self.board.get(instance.id()).is_none() {
                self.roads.forget(instance.id());
            }
        }
        // The new default takes its place from the old one, so it comes last.
        let (defaults, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.default);
        for entry in others.into_iter().chain(defaults) {
            let checked = check_name(&entry.name).and_then(|()| check_label(entry.label.as_deref()));
            let connection = match checked.and_then(|()| place_of(&entry.place)) {
                Ok(connection) => connection,
                Err(problem) => {
                    tracing::error!(instance = %entry.name, %problem, "instance.entry_refused");
                    continue;
                }
            };
            let setup =
                InstanceSetup { connection, label: entry.label.clone(), source: InstanceSource::Config, default: entry.default };
            let client = self.draw_client();
            let input = Input::SetInstance { instance: entry.name.clone(), client, setup, expect: Expect::Any };
            owed |= self.say(&entry.name, input).await;
        }
        owed
    }

    /// Says it; whether it is to be said again later.
    async fn say(&self, instance: &InstanceId, input: Input) -> bool {
        match self.core.ask(input).await {
            Err(AskError::Refused(refusal @ Refusal::InstanceBusy { .. })) => {
                tracing::warn!(%instance, %refusal, "instance.entry_waits");
                true
            }
            // Somebody else removed it, or the next start says it again.
            Ok(_) | Err(AskError::Refused(Refusal::UnknownInstance(_)) | AskError::Stopping) => false,
            Err(AskError::Refused(refusal)) => {
                tracing::error!(%instance, %refusal, "instance.entry_refused");
                false
            }
            Err(error @ (AskError::NotStored { .. } | AskError::TooLarge { .. } | AskError::Busy)) => {
                tracing::warn!(%instance, %error, "instance.entry_waits");
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, url: &str) -> InstanceEntry {
        InstanceEntry { name: name.parse().expect("a good name"), place: Place::Url(url.to_owned()), label: None, default: false }
    }

    #[test]
    fn everything_wrong_with_a_file_is_told_at_once() {
        let entries = [
            entry("good", "http://gpu:8188"),
            entry("same", "http://gpu:8188/"),
            entry("test", "http://other:8188"),
            entry("tls", "https://other:8188"),
            InstanceEntry { default: true, label: Some("a\nb".into()), ..entry("one", "http://one:1") },
            InstanceEntry { default: true, ..entry("two", "http://169.254.169.254:1") },
        ];
        let codes: Vec<String> = check_entries(&entries).into_iter().map(|problem| problem.code).collect();
        assert_eq!(codes, ["address_taken", "bad_instance", "address_tls", "bad_label", "address_refused", "two_defaults"]);
        assert_eq!(check_entries(&entries[..1]), vec![]);
    }
}
