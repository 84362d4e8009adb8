//! Everything that the shell may tell the engine.

use crate::comfy::{ComfyEvent, RemoteStatus};
use crate::event::{
    HostKeyTrusted, InputLeft, InstanceSetup, InstanceSource, LogRepaired, NodeProblem, Obstacle, RunError, RunSpec, SavedFile,
    UploadedFile,
};
use crate::id::{ClientId, CommandId, InstanceId, NodeId, PromptId, RunId, Sha256};

/// One thing that happened outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A person or a program wants something; it can be refused.
    Request(RunId, Request),
    /// An instance is to be known.
    AddInstance {
        /// Its name.
        instance: InstanceId,
        /// Our `clientId` there, if it is new.
        client: ClientId,
        /// Its address.
        url: String,
    },
    /// Somebody says how an instance is reached; it can be refused.
    SetInstance {
        /// Its name.
        instance: InstanceId,
        /// Our `clientId` there, if it is new.
        client: ClientId,
        /// How it is reached and what it is called.
        setup: InstanceSetup,
        /// Whether it is to be new.
        expect: Expect,
    },
    /// An instance is not to be used any more; it can be refused.
    RemoveInstance {
        /// Its name.
        instance: InstanceId,
        /// Who says so.
        by: InstanceSource,
    },
    /// Somebody accepts the key of a machine on the way to an instance; it can be refused.
    TrustHostKey {
        /// Its name.
        instance: InstanceId,
        /// The key.
        key: HostKeyTrusted,
        /// Whether it takes the place of another one.
        replace: bool,
    },
    /// A socket said something.
    Observed(InstanceId, ComfyEvent),
    /// A command came to something.
    Outcome(CommandId, Outcome),
    /// The way to an instance changed.
    Link(InstanceId, LinkChange),
    /// Queue and history were read for a run.
    Reconciled(RunId, RemoteStatus),
    /// The queue has a run's prompt more than once.
    TwinSeen(RunId),
    /// comfyd was started again; said once, after all logs are folded.
    Restarted,
    /// Facts of these runs could not be written, and what was told meanwhile is lost; said once writing works again.
    CaughtUp(Vec<RunId>),
    /// The store cut off an unsynced tail of a run's log.
    Repaired(RunId, LogRepaired),
    /// A deadline passed (see `Engine::next_deadline`).
    Deadline,
}

/// What must be there before an instance is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No instance of this name, or one of the same address that a run made known.
    New,
    /// One of this name.
    Known,
    /// Either.
    Any,
}

/// What a person or a program wants of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Accept a new run.
    Create {
        /// What it is asked to do.
        spec: Box<RunSpec>,
        /// Bytes that it needs and that travel in its log.
        blobs: Vec<(Sha256, Vec<u8>)>,
    },
    /// Stop it.
    Cancel {
        /// How far to go.
        force: Force,
    },
    /// Post the same prompt again, after its fate could not be learned.
    Resubmit,
    /// It is to be removed: what is still asked of the instance behind its end is not waited for any more, but for its outputs.
    LetGo,
}

/// One of several runs that are created together.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// The run.
    pub id: RunId,
    /// What it is asked to do.
    pub spec: Box<RunSpec>,
    /// Bytes that it needs and that travel in its log.
    pub blobs: Vec<(Sha256, Vec<u8>)>,
}

/// Whether to stop a run also where that can hit another prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Only if it is safe.
    No,
    /// In any case: the instance is an old one, and the user was warned.
    Yes,
}

/// The way to an instance changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// It answers, and the socket is registered.
    Up {
        /// Its version, where it tells.
        version: Option<String>,
        /// Whether frames can be expected; without a socket, polling alone goes on.
        live: bool,
        /// Which process it is, where the way there tells.
        process: Option<String>,
    },
    /// It does not answer.
    Down {
        /// What was tried and what came of it.
        why: String,
        /// What stands in the way until a person acts.
        obstacle: Option<Obstacle>,
    },
    /// It is another process than before.
    Restarted {
        /// What showed it.
        evidence: String,
    },
    /// Frames were missed, though the instance answers.
    Gap {
        /// Why.
        why: String,
    },
    /// It was let go, as no run needs it.
    LetGo,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that the prompt needs is there.
    Staged {
        /// The graph to post.
        prompt: Sha256,
        /// Its output nodes.
        outputs: Vec<NodeId>,
        /// The uploads under their new names.
        uploaded: Vec<UploadedFile>,
        /// The graph's bytes, if they are new and small enough to travel in the log.
        blob: Option<Vec<u8>>,
    },
    /// Staging can never work.
    StagingFailed {
        /// Why.
        error: RunError,
    },
    /// Staging did not work this time.
    StagingDelayed {
        /// Why.
        why: String,
    },
    /// 200 on `POST /prompt`.
    Accepted {
        /// The id that the server uses.
        prompt_id: PromptId,
        /// What is wrong with the outputs that it dropped.
        problems: Vec<NodeProblem>,
        /// The outputs that it dropped.
        refused: Vec<NodeId>,
    },
    /// A definite no.
    Rejected {
        /// Why.
        error: RunError,
    },
    /// The request certainly did not arrive whole.
    NotSent {
        /// Why.
        why: String,
    },
    /// The request may have arrived.
    Unclear {
        /// Why.
        why: String,
    },
    /// The wish to stop was taken.
    Stopped,
    /// Stopping is not safe on this server.
    CannotStop {
        /// Why.
        why: String,
    },
    /// The wish to stop did not get through.
    NotStopped {
        /// Why.
        why: String,
    },
    /// An output is stored.
    Collected {
        /// Its number.
        n: u32,
        /// The file.
        file: SavedFile,
    },
    /// A second entry of the prompt was taken out of the queue.
    TwinDeleted,
    /// None was: there is none that waits any more, or the instance did not answer.
    TwinKept {
        /// Why.
        why: String,
    },
    /// The end of the instance's own log.
    LogRead {
        /// The last lines; none if it does not tell.
        lines: Vec<String>,
    },
    /// The instance has no such file.
    OutputGone {
        /// Its number.
        n: u32,
        /// What it said.
        why: String,
    },
    /// The output cannot be had now.
    OutputDelayed {
        /// Its number.
        n: u32,
        /// Why.
        why: String,
    },
    /// What was uploaded is removed, as far as it can be.
    InputsRemoved {
        /// The names of the files that were removed.
        removed: Vec<String>,
        /// Those that never will be.
        left: Vec<InputLeft>,
    },
    /// What was uploaded could not be removed this time.
    InputsDelayed {
        /// Why.
        why: String,
    },
}

/// A request that cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such run.
    #[error("find run {0}")]
    UnknownRun(RunId),
    /// A run of this id exists.
    #[error("create run {0}: it exists")]
    Exists(RunId),
    /// The instance is not known.
    #[error("find instance {0}")]
    UnknownInstance(InstanceId),
    /// An instance of this name is there already.
    #[error("add instance {0}: there is one of this name")]
    InstanceExists(InstanceId),
    /// Another instance has this address.
    #[error("use {url}: it is the address of instance {other}")]
    AddressTaken {
        /// The address.
        url: String,
        /// Who has it.
        other: InstanceId,
    },
    /// The configuration file has this instance, so only the file changes it.
    #[error("change instance {0}: it stands in the configuration file")]
    InstanceOfConfig(InstanceId),
    /// An address and a name belong to different instances.
    #[error("use {url} as instance {instance}: that is the name of an instance elsewhere")]
    NameTaken {
        /// The name.
        instance: InstanceId,
        /// The address that was asked for.
        url: String,
    },
    /// The machine has another key already.
    #[error("trust {machine} of instance {instance}: another key is accepted for it, {known}")]
    HostKeyKnown {
        /// The instance.
        instance: InstanceId,
        /// The machine.
        machine: String,
        /// The fingerprint of that key.
        known: String,
    },
    /// Runs of the instance are open.
    #[error("change instance {instance}: {open} of its runs are open")]
    InstanceBusy {
        /// Its name.
        instance: InstanceId,
        /// How many.
        open: usize,
    },
    /// The run has ended.
    #[error("change run {0}: it has ended")]
    AlreadySettled(RunId),
    /// Resubmitting is only for runs whose fate could not be learned.
    #[error("resubmit run {0}: only a run with attention `submit_unknown` can be posted again")]
    NotInDoubt(RunId),
    /// Too many open runs.
    #[error("accept another run: {limit} are open")]
    TooManyRuns {
        /// The limit.
        limit: usize,
    },
}
