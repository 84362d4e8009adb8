//! What the engine wants done, released once the cause is on disk.

use crate::event::{InputFile, RemoteFile, Upload};
use crate::id::{ClientId, CommandId, InstanceId, NodeId, PromptId, RunId, Seq, Sha256, StreamId};

/// One thing for an adapter to do. Every one but `Dispatch` may be done twice without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Upload the files, learn the output nodes, make the final graph.
    Stage {
        /// The graph as created.
        graph: Sha256,
        /// The files.
        uploads: Vec<Upload>,
        /// The output nodes, if known.
        outputs: Option<Vec<NodeId>>,
    },
    /// Post the prompt: once, without any retry.
    Dispatch {
        /// The graph to post.
        prompt: Sha256,
        /// The id to give it.
        prompt_id: PromptId,
        /// The socket for its frames.
        client: ClientId,
        /// 1 for the first.
        attempt: u32,
        /// Larger is sooner; above 0 the instance is asked for the front of its queue.
        priority: i32,
    },
    /// Look for the prompt in queue and history, now.
    Reconcile {
        /// Its id.
        prompt_id: PromptId,
    },
    /// Take the prompt out of the queue.
    Dequeue {
        /// Its id.
        prompt_id: PromptId,
    },
    /// Stop the prompt where it runs.
    Interrupt {
        /// Its id.
        prompt_id: PromptId,
        /// Also where an old server may stop another prompt instead.
        force: bool,
    },
    /// Take a second entry of the prompt out of the queue, if there is one that waits.
    DeleteTwin {
        /// Its id.
        prompt_id: PromptId,
    },
    /// Ask for the end of the instance's own log.
    ReadLog {},
    /// Fetch a file of the instance and store it.
    Collect {
        /// The output's number.
        n: u32,
        /// The file.
        file: RemoteFile,
    },
    /// Remove what was uploaded, if it is still that.
    RemoveInputs {
        /// The files.
        files: Vec<InputFile>,
    },
}

/// A command with its name and the way to its adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// Its name, derived from the causing event.
    pub id: CommandId,
    /// The run that it serves.
    pub run: RunId,
    /// The instance that it goes to.
    pub instance: InstanceId,
    /// What to do.
    pub command: Command,
}

/// Where the names of owed commands begin: an event has fewer commands than that, as outputs are limited.
const OWED: u32 = 1 << 20;

/// Where `apply` leaves commands. A muted one drops them: replay has no effects.
#[derive(Debug, Default)]
pub struct Outbox {
    muted: bool,
    cause: Option<Cause>,
    commands: Vec<Addressed>,
}

#[derive(Debug)]
struct Cause {
    run: RunId,
    instance: InstanceId,
    seq: Seq,
    index: u32,
}

impl Outbox {
    /// One that keeps what it is given.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that drops what it is given.
    pub fn muted() -> Self {
        Self { muted: true, ..Self::default() }
    }

    /// Names the event whose commands follow.
    pub(crate) fn caused_by(&mut self, run: RunId, instance: &InstanceId, seq: Seq) {
        // Replay asks for no commands, and a name for none would cost it a copy for each event.
        if !self.muted {
            self.cause = Some(Cause { run, instance: instance.clone(), seq, index: 0 });
        }
    }

    /// Says that what follows is still owed, as of this event, and not caused by it: its names are apart from those of the event's commands.
    pub(crate) fn owed_since(&mut self, run: RunId, instance: &InstanceId, seq: Seq) {
        self.cause = Some(Cause { run, instance: instance.clone(), seq, index: OWED });
    }

    /// Adds a command of the current cause.
    pub(crate) fn say(&mut self, command: Command) {
        if self.muted {
            return;
        }
        let cause = self.cause.as_mut().expect("apply names the cause before the fold runs");
        let id = CommandId { stream: StreamId::Run(cause.run), seq: cause.seq, index: cause.index };
        cause.index += 1;
        self.commands.push(Addressed { id, run: cause.run, instance: cause.instance.clone(), command });
    }

    /// Takes everything said so far.
    pub fn take(&mut self) -> Vec<Addressed> {
        std::mem::take(&mut self.commands)
    }
}
