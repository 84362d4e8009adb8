//! The smaller parts of a view.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::event::RunError;
use crate::id::NodeId;
use crate::run::{Attention, Run, Warning};
use crate::time::Timestamp;

/// A share in thousandths, shown in percent with one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = f64, minimum = 0, maximum = 100))]
pub struct Percent(pub u32);

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 10.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// A point in time, shown as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProgressView {
    /// 1 for the next to run, null while running.
    pub queue_position: Option<u32>,
    /// The class of the running node.
    pub current_node: Option<String>,
    /// Its id.
    pub current_node_id: Option<NodeId>,
    /// Its title.
    pub current_node_title: Option<String>,
    /// The nodes that can run: those that reach an output.
    pub total_nodes: usize,
    /// How many of them are completed, cached ones included.
    pub completed_nodes: usize,
    /// Never falls; 100 only when completed.
    pub progress_percent: Percent,
}

/// The times of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TimingView {
    /// When it was created.
    pub queue_time: Time,
    /// When the instance began to run it.
    pub start_time: Option<Time>,
    /// When it ended.
    pub end_time: Option<Time>,
    /// When the newest fact was recorded.
    pub last_update: Time,
    /// When it will end, by step rates and what nodes took before.
    pub estimated_completion: Option<Time>,
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AttentionView {
    /// What kind of thing.
    pub kind: &'static str,
    /// In words.
    pub message: String,
    /// Since when.
    pub since: Time,
    /// What can be done, each one HTTP call.
    pub actions: Vec<ActionView>,
}

/// One HTTP call that a page or script can make as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ActionView {
    /// A stable name.
    pub id: &'static str,
    /// What a button says.
    pub label: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path.
    pub href: String,
    /// The JSON body.
    pub body: Option<ActionBody>,
}

/// The body of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ActionBody {
    /// Of cancelling.
    Force {
        /// Cancel also where an old server may stop another prompt instead.
        force: bool,
    },
    /// Of accepting a host key.
    Trust {
        /// The fingerprint of exactly that key.
        fingerprint: String,
    },
}

impl AttentionView {
    pub(super) fn of(run: &Run, attention: &Attention) -> Self {
        use crate::event::AttentionKind as Kind;
        let call = |id, label, verb: &str, body| {
            let href = format!("/api/v1/runs/{}/{verb}", run.id());
            ActionView { id, label, method: "POST", href, body }
        };
        let on_instance = |id, label, verb: &str, body| {
            let href = format!("/api/v1/instances/{}/{verb}", run.instance());
            ActionView { id, label, method: "POST", href, body }
        };
        let cancel = || call("cancel", "Cancel", "cancel", None);
        let actions = match attention.kind {
            Kind::SubmitUnknown | Kind::RemoteRestarted => vec![call("resubmit", "Submit again", "resubmit", None), cancel()],
            Kind::CancelRefused => vec![call("force_cancel", "Cancel anyway", "cancel", Some(ActionBody::Force { force: true }))],
            Kind::HostKeyUnknown => {
                let body = attention.fingerprint.clone().map(|fingerprint| ActionBody::Trust { fingerprint });
                vec![on_instance("trust", "Trust this machine", "trust", body), cancel()]
            }
            Kind::AuthFailed => vec![on_instance("try_again", "Try again", "test", None), cancel()],
            // It was asked to stop, and nobody there hears it: only its user can say that it does not matter any more.
            Kind::Unreachable if run.is_stopping() => {
                vec![call("force_cancel", "Give it up", "cancel", Some(ActionBody::Force { force: true }))]
            }
            // A changed key has no button: it is replaced by who knows why it changed.
            Kind::Unreachable
            | Kind::HostKeyChanged
            | Kind::HostKeyRefused
            | Kind::KeyLocked
            | Kind::OutputDelayed
            | Kind::StagingDelayed
            | Kind::DiskFull
            | Kind::SubmitDelayed => vec![cancel()],
        };
        let message = match attention.kind {
            Kind::Unreachable if run.is_watched() => format!(
                "Connection lost. Workflow continues on server. Progress will resume when connection is restored. ({})",
                attention.message
            ),
            _ => attention.message.clone(), // All others say it themselves.
        };
        Self { kind: attention.kind.as_str(), message, since: Time(attention.since), actions }
    }
}

/// Something that a user should know though the run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WarningView {
    /// A stable name.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub code: Cow<'static, str>,
    /// What happened.
    pub message: String,
    /// The node concerned.
    pub node_id: Option<NodeId>,
}

impl WarningView {
    pub(super) fn of(warning: &Warning) -> Self {
        Self { code: warning.code.clone(), message: warning.message.clone(), node_id: warning.node.clone() }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorView {
    /// A stable name.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The node.
    pub node_id: Option<NodeId>,
    /// Its class.
    pub node_type: Option<String>,
    /// Everything else that is known.
    pub details: Option<String>,
    /// What is wrong with which input, for a refused prompt.
    pub problems: Vec<crate::event::NodeProblem>,
    /// What ComfyUI's own log ended with when a node had failed, at most 20 lines, the oldest first; absent where ComfyUI does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_lines: Vec<String>,
}

impl ErrorView {
    /// The view of an error, with the end of the instance's log.
    pub fn of(error: &RunError, log_lines: &[String]) -> Self {
        Self {
            log_lines: log_lines.to_vec(),
            code: error.code.clone(),
            message: error.message.clone(),
            hint: error.hint.clone(),
            node_id: error.node_id.clone(),
            node_type: error.node_type.clone(),
            details: error.details.clone(),
            problems: error.problems.clone(),
        }
    }
}
