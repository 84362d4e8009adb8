//! The core loop's part in instances: links to those that have runs, and what readers see of all.

use comfyd_engine::{Engine, Input, LinkChange, StreamId};

use super::message::Message;
use super::task::Core;
use crate::dispatch::Dispatcher;
use crate::instances::{Board, Known};

impl Core {
    /// Why the log of an instance that somebody wants to change takes nothing: what is known of it would not outlast this process.
    pub(super) fn unwritable(&self, input: &Input) -> Option<String> {
        let (Input::SetInstance { instance, .. } | Input::RemoveInstance { instance, .. }) = input else { return None };
        let why = self.store.quarantined(&StreamId::Instance(instance.clone()))?;
        Some(format!("the log of instance {instance} is damaged: {why}"))
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
