//! The facts of a run's stream.

mod ending;
mod inputs;
mod progress;
mod submit;

use super::macros::events;

pub use ending::*;
pub use inputs::*;
pub use progress::*;
pub use submit::*;

events! {
    /// A fact about a run.
    RunEvent {
        /// It was accepted.
        RunCreated = "run_created", 1, Ack;
        /// Bytes that the run needs, small enough to travel in its log.
        BlobStored = "blob_stored", 1, Ack;
        /// Uploads are about to begin.
        StagingStarted = "staging_started", 1, Ack;
        /// Everything that the prompt needs is on the instance.
        Staged = "staged", 1, Ack;
        /// Staging did not work this time.
        StagingDelayed = "staging_delayed", 1, Note;
        /// The prompt is about to be posted, once.
        SubmitIntended = "submit_intended", 1, Ack;
        /// The instance has the prompt.
        Submitted = "submitted", 1, Ack;
        /// The prompt certainly did not arrive.
        SubmitNotSent = "submit_not_sent", 1, Ack;
        /// Whether the prompt arrived is not known.
        SubmitInDoubt = "submit_in_doubt", 1, Ack;
        /// The prompt was looked for and not found.
        AbsenceNoted = "absence_noted", 1, Note;
        /// The prompt is to be posted again.
        ResubmitRequested = "resubmit_requested", 1, Ack;
        /// The instance has it a second time.
        TwinFound = "twin_found", 1, Ack;
        /// The second one was taken out of the queue.
        TwinDeleted = "twin_deleted", 1, Ack;
        /// A second one is not looked for any more.
        TwinWatchEnded = "twin_watch_ended", 1, Ack;
        /// The instance dropped some outputs at validation and runs the others.
        OutputsRefused = "outputs_refused", 1, Note;
        /// The place in the instance's queue changed.
        QueueMoved = "queue_moved", 1, Note;
        /// The instance runs the prompt.
        ExecutionStarted = "execution_started", 1, Note;
        /// Nodes that need not run again.
        NodesCached = "nodes_cached", 1, Note;
        /// A node runs.
        NodeStarted = "node_started", 1, Note;
        /// Nodes told how far they are.
        NodesProgressed = "nodes_progressed", 1, Tick;
        /// A node shows a text.
        NodeTexted = "node_texted", 1, Tick;
        /// A node ended well.
        NodeFinished = "node_finished", 1, Note;
        /// A node was kept from running by another one.
        NodeBlocked = "node_blocked", 1, Note;
        /// Frames were missed; node times have gaps from here.
        GapNoted = "gap_noted", 1, Note;
        /// A node reported outputs. Fetching one is a command, which is synced before by itself.
        OutputsFound = "outputs_found", 1, Note;
        /// An output is stored here.
        OutputSaved = "output_saved", 1, Ack;
        /// An output is gone for good.
        OutputLost = "output_lost", 1, Ack;
        /// An output cannot be had now.
        OutputDelayed = "output_delayed", 1, Note;
        /// An output is tried again.
        OutputRetried = "output_retried", 1, Note;
        /// What it uploaded is about to be removed from the instance.
        InputsRemovalIntended = "inputs_removal_intended", 1, Ack;
        /// What it uploaded could not be removed this time.
        InputsRemovalDelayed = "inputs_removal_delayed", 1, Note;
        /// What it uploaded is removed, as far as it can be.
        InputsRemoved = "inputs_removed", 1, Ack;
        /// The instance ran the prompt to a good end.
        ExecutionSucceeded = "execution_succeeded", 1, Ack;
        /// The user wants it stopped.
        CancelRequested = "cancel_requested", 1, Ack;
        /// A time limit was reached; it is being stopped.
        LimitReached = "limit_reached", 1, Ack;
        /// The instance took the wish to stop.
        StopSent = "stop_sent", 1, Note;
        /// It still runs, so it is told to stop again.
        StopRepeated = "stop_repeated", 1, Ack;
        /// It cannot be stopped safely.
        CancelRefused = "cancel_refused", 1, Ack;
        /// It waits for something that a person should know.
        AttentionRaised = "attention_raised", 1, Note;
        /// It no longer waits for that.
        AttentionCleared = "attention_cleared", 1, Note;
        /// All outputs are here.
        Completed = "completed", 1, Ack;
        /// It did not work.
        Failed = "failed", 1, Ack;
        /// The end of the instance's own log, after it failed there.
        InstanceLogNoted = "instance_log_noted", 1, Ack;
        /// It was stopped.
        Cancelled = "cancelled", 1, Ack;
        /// Its log had an unsynced tail that was cut off.
        LogRepaired = "log_repaired", 1, Ack;
    }
}
