//! What a run knows, beside the phase that it is in.

use std::borrow::Cow;

use crate::event::{
    AttentionKind, BlobStored, Limit, Note, OutputsFound, PromptSpec, RunError, RunSpec, SubmitIntended, Workload,
};
use crate::id::{NodeId, PromptId, RunId, Seq, Sha256};
use crate::time::Timestamp;

use super::inputs::Inputs;
use super::nodes::Nodes;
use super::outputs::Outputs;

/// The book of a run: kept by the fold, read by `decide` and the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) run: RunId,
    pub(crate) spec: RunSpec,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) nodes: Nodes,
    /// The output nodes, once known.
    pub(crate) targets: Option<Vec<NodeId>>,
    pub(crate) outputs: Outputs,
    /// What it uploaded.
    pub(crate) inputs: Inputs,
    /// The graph that is posted, once it is final.
    pub(crate) prompt: Sha256,
    /// Whether everything that the prompt needs is on the instance.
    pub(crate) staged: bool,
    pub(crate) prompt_id: PromptId,
    pub(crate) intent: Option<SubmitIntended>,
    /// The place of the newest intent, which names its `Dispatch`.
    pub(crate) posted: Option<Seq>,
    /// When the instance was first known to have it.
    pub(crate) submitted: Option<Timestamp>,
    /// Whether it was ever known to have it; that it is posted again does not change that.
    pub(crate) arrived: bool,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) stop: Option<Stop>,
    pub(crate) attention: Option<Attention>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) error: Option<RunError>,
    pub(crate) log_tail: LogTail,
    pub(crate) twins: Twins,
    /// Whether frames were missed, so that nodes can have ended unseen.
    pub(crate) gap: bool,
    /// Absences in a row after the instance had it.
    pub(crate) missing: Missing,
}

/// The end of the instance's own log, where a run failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogTail {
    /// Nobody wants it.
    #[default]
    Unwanted,
    /// It is asked for.
    Owed,
    /// What came of it.
    Noted(Vec<String>),
}

/// A prompt that was posted again may arrive twice, as the first one can have been on its way still.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Twins {
    /// Whether it was to be posted again, whoever wanted that.
    pub(crate) possible: bool,
    /// How often the configuration alone wanted it.
    pub(crate) by_policy: u32,
    /// Until when a second one is looked for.
    pub(crate) until: Option<Timestamp>,
    /// When one was last seen to wait.
    pub(crate) seen: Option<Timestamp>,
    /// Whether that one is to be taken out of the queue.
    pub(crate) owed: bool,
    /// Whether the prompt was seen to run twice.
    pub(crate) ran: bool,
}

/// How often a prompt that the instance had was in neither queue nor history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) times: u32,
    pub(crate) since: Option<Timestamp>,
}

/// A wish to stop that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) reason: StopReason,
    pub(crate) force: bool,
    /// When the wish was last sent or taken.
    pub(crate) at: Timestamp,
}

/// Who wants it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// A person.
    Cancelled,
    /// A limit.
    Limit(Limit),
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// What kind of thing.
    pub kind: AttentionKind,
    /// In words.
    pub message: String,
    /// The fingerprint of the host key that is to be accepted, where that is the matter.
    pub fingerprint: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Something that a user should know though the run goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// A stable name.
    pub code: Cow<'static, str>,
    /// What happened.
    pub message: String,
    /// The node concerned.
    pub node: Option<NodeId>,
}

impl Warning {
    fn of(note: &Note) -> Self {
        Self { code: note.code.clone().into(), message: note.message.clone(), node: note.node.clone() }
    }
}

/// The name of the warning that the instance dropped outputs.
pub(crate) const OUTPUTS_REFUSED: &str = "outputs_refused";

impl Ledger {
    pub(crate) fn new(run: RunId, spec: RunSpec, at: Timestamp) -> Self {
        let Workload::Prompt(prompt) = &spec.workload;
        Self {
            run,
            created: at,
            updated: at,
            nodes: Nodes::planned(&prompt.nodes, prompt.outputs.as_deref()),
            targets: prompt.outputs.clone(),
            outputs: Outputs::default(),
            inputs: Inputs::default(),
            prompt: prompt.graph.clone(),
            staged: prompt.outputs.is_some() && prompt.uploads.is_empty(),
            prompt_id: PromptId::from(run),
            intent: None,
            posted: None,
            submitted: None,
            arrived: false,
            started: None,
            ended: None,
            stop: None,
            attention: None,
            warnings: prompt.notes.iter().map(Warning::of).collect(),
            error: None,
            log_tail: LogTail::Unwanted,
            twins: Twins::default(),
            gap: false,
            missing: Missing::default(),
            spec,
        }
    }

    pub(crate) fn prompt_spec(&self) -> &PromptSpec {
        let Workload::Prompt(prompt) = &self.spec.workload;
        prompt
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.intent.as_ref().map_or(0, |intent| intent.attempt)
    }

    pub(crate) fn wants_stop(&self) -> bool {
        self.stop.is_some()
    }

    pub(crate) fn find_outputs(&mut self, found: &OutputsFound) -> Vec<(u32, crate::event::RemoteFile)> {
        found.outputs.iter().filter_map(|output| self.outputs.add(output).map(|file| (output.n, file))).collect()
    }

    pub(crate) fn warn(&mut self, code: &'static str, message: String, node: Option<NodeId>) {
        let warning = Warning { code: code.into(), message, node };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The fold keeps no blobs: whoever reads the log hands them on.
    pub(crate) fn pass_blob(_blob: &BlobStored) {}

    pub(crate) fn clear(&mut self, kinds: &[AttentionKind]) {
        if self.attention.as_ref().is_some_and(|attention| kinds.contains(&attention.kind)) {
            self.attention = None;
        }
    }
}
