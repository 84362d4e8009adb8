//! The core loop's part in instances: links to those that have runs, and what readers see of all.

use comfyd_engine::{Engine, Input, Instance, LinkChange, StreamId};

use super::message::Message;
use super::task::Core;
use crate::dispatch::Dispatcher;
use crate::instances::{Board, Known};

impl Core {
    /// Why an instance cannot be changed now: a log that would tell of it takes nothing, so that what is known would not outlast this process, or a
    /// run that may need it cannot be read.
    pub(super) fn unwritable(&self, input: &Input) -> Option<String> {
        let (instance, default) = match input {
            Input::SetInstance { instance, setup, .. } => (instance, setup.default),
            Input::RemoveInstance { instance, .. } | Input::TrustHostKey { instance, .. } => (instance, false),
            // A run gives it another address.
            Input::AddInstance { instance, url, .. } => {
                let moves = self.engine.usable(instance).is_some_and(|known| known.url() != url);
                return moves.then(|| self.unread_runs()).flatten();
            }
            Input::Request(..)
            | Input::Reconciled(..)
            | Input::TwinSeen(_)
            | Input::Repaired(..)
            | Input::CaughtUp(_)
            | Input::Observed(..)
            | Input::Outcome(..)
            | Input::Link(..)
            | Input::Restarted
            | Input::Deadline => return None,
        };
        // The one that is the default now is told that it no longer is.
        let present = self.engine.instances().filter(|known| default && !known.is_removed() && known.setup().default);
        let told = std::iter::once(instance).chain(present.map(Instance::id));
        let damaged = told.into_iter().find_map(|id| {
            let why = self.store.quarantined(&StreamId::Instance(id.clone()))?;
            Some(format!("the log of instance {id} is damaged: {why}"))
        });
        damaged.or_else(|| self.unread_runs())
    }

    /// Whether there are runs that are open as far as is known, and not in the engine.
    fn unread_runs(&self) -> Option<String> {
        let first = self.unread.first()?;
        Some(format!("the log of run {first} cannot be read just now, and it may need this instance"))
    }

    /// Keeps links to the instances that have runs.
    pub(super) fn watch(&mut self) {
        if self.dispatcher.watch(&self.engine) {
            show(&self.board, &self.engine, &self.dispatcher);
        }
    }

    /// Lets links go that no run has needed for a while.
    pub(super) async fn let_go(&mut self) {
        for instance in self.dispatcher.let_go() {
            self.turn(vec![Message::Input(Input::Link(instance, LinkChange::LetGo))]).await;
            show(&self.board, &self.engine, &self.dispatcher);
        }
    }
}

/// Shows the instances as they are on disk.
pub(super) fn show(board: &Board, engine: &Engine, dispatcher: &Dispatcher) {
    let known =
        engine.instances().map(|instance| Known { instance: instance.clone(), linked: dispatcher.is_linked(instance.id()) });
    board.publish(known);
}
