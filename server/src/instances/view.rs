//! An instance as people and programs see it.

use comfyd_adapters::comfy::stats::Device;
use comfyd_adapters::comfy::survey::Features;
use comfyd_engine::{HostKeyTrusted, InstanceId, InstanceSource, Obstacle, Reach, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::board::{Known, Seen};
use super::look::HostKeyView;

/// An instance in the API.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InstanceView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: InstanceId,
    /// What people call it, where that is not its name.
    pub label: Option<String>,
    /// Its address; there are no credentials in it.
    pub url: String,
    /// Who made it known: `config`, `api` or `adhoc`.
    pub source: &'static str,
    /// Whether runs that name no instance go there.
    pub default: bool,
    /// Whether only a run that named its address made it known.
    pub adhoc: bool,
    /// `connected`, `polling` (it answers, its socket does not), `connecting`, `unreachable`, or `idle`: no run needs it, so no link is kept.
    pub state: &'static str,
    /// Since when it is in this state; null where nobody looks.
    pub since: Option<String>,
    /// ComfyUI's version, as it told it last.
    pub version: Option<String>,
    /// What it computes on, as of `seen_at`.
    pub devices: Option<Vec<DeviceView>>,
    /// How many prompts ran and waited there, anybody's, as of `seen_at`.
    pub queue: Option<u32>,
    /// When devices and queue were last looked at.
    pub seen_at: Option<String>,
    /// Runs of ours that it has or had: submitted, executing or being fetched.
    pub open_runs: usize,
    /// Runs of ours that wait for it.
    pub waiting_runs: usize,
    /// What it can be asked.
    pub features: FeaturesView,
    /// Why it did not answer when that was last so.
    pub last_error: Option<LastError>,
    /// How its machine is reached over SSH, without keys: `ssh -p 40738 root@198.51.100.7`; null where it is reached straight.
    pub ssh_connection: Option<String>,
    /// `ComfyUI`'s port on that machine.
    pub comfyui_port: Option<u16>,
    /// `ComfyUI`'s output folder on that machine, where it was told.
    pub output_dir: Option<String>,
    /// The host keys that somebody accepted.
    pub trusted: Vec<HostKeyView>,
    /// What stands in the way until a person acts: `host_key_unknown`, `host_key_changed`, `host_key_refused`, `auth_failed` or `key_locked`.
    pub obstacle: Option<ObstacleView>,
}

/// What stands in the way to an instance until a person acts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ObstacleView {
    /// What kind of thing.
    pub kind: &'static str,
    /// The machine whose host key it is about: its host, or `[host]:port`.
    pub machine: Option<String>,
    /// The fingerprint that it presented.
    pub fingerprint: Option<String>,
}

impl From<&Obstacle> for ObstacleView {
    fn from(obstacle: &Obstacle) -> Self {
        let (kind, key) = match obstacle {
            Obstacle::HostKeyUnknown(key) => ("host_key_unknown", Some(key)),
            Obstacle::HostKeyChanged(key) => ("host_key_changed", Some(key)),
            Obstacle::HostKeyRefused => ("host_key_refused", None),
            Obstacle::AuthFailed => ("auth_failed", None),
            Obstacle::KeyLocked => ("key_locked", None),
        };
        Self { kind, machine: key.map(|key| key.machine.clone()), fingerprint: key.map(|key| key.fingerprint.clone()) }
    }
}

/// A device of an instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeviceView {
    /// Its name.
    pub name: String,
    /// `cuda`, `cpu`, `mps` and the like.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its memory, in bytes.
    pub vram_total: Option<u64>,
    /// What is free of it.
    pub vram_free: Option<u64>,
}

impl From<Device> for DeviceView {
    fn from(device: Device) -> Self {
        let Device { name, kind, vram_total, vram_free } = device;
        Self { name, kind, vram_total, vram_free }
    }
}

/// What an instance can be asked; null where that is not known yet.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct FeaturesView {
    /// Whether it takes our id for a prompt.
    pub prompt_id: Option<bool>,
    /// Whether it stops the prompt that is named and no other.
    pub interrupt_by_id: Option<bool>,
    /// Whether a job can be cancelled in one step.
    pub cancel_route: Option<bool>,
}

impl From<Features> for FeaturesView {
    fn from(features: Features) -> Self {
        Self {
            prompt_id: features.takes_prompt_id,
            interrupt_by_id: features.interrupts_by_id,
            cancel_route: features.cancels_jobs,
        }
    }
}

/// Why an instance did not answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastError {
    /// When that was noticed.
    pub at: String,
    /// What was tried and what came of it.
    pub message: String,
}

/// How many runs of an instance there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) open: usize,
    pub(crate) waiting: usize,
}

impl InstanceView {
    pub(super) fn of(known: &Known, seen: Option<Seen>, load: Load) -> Self {
        let instance = &known.instance;
        let setup = instance.setup();
        let ssh = setup.connection.ssh();
        let (state, since) = state_of(known);
        let features = match &seen {
            Some(seen) => seen.features,
            None => Features::of_version(instance.version()),
        };
        Self {
            name: instance.id().clone(),
            label: setup.label.clone(),
            url: instance.url().to_owned(),
            source: setup.source.as_str(),
            default: setup.default,
            adhoc: setup.source == InstanceSource::Adhoc,
            state,
            since: since.map(|at| at.to_string()),
            version: instance.version().map(ToOwned::to_owned),
            seen_at: seen.as_ref().map(|seen| seen.at.to_string()),
            queue: seen.as_ref().and_then(|seen| seen.queue),
            devices: seen.map(|seen| seen.devices.into_iter().map(DeviceView::from).collect()),
            open_runs: load.open,
            waiting_runs: load.waiting,
            features: features.into(),
            last_error: instance.trouble().map(|trouble| LastError { at: trouble.at.to_string(), message: trouble.why.clone() }),
            ssh_connection: ssh.map(|ssh| ssh.command.clone()),
            comfyui_port: ssh.map(|ssh| ssh.comfyui_port),
            output_dir: ssh.and_then(|ssh| ssh.output_dir.clone()),
            trusted: instance.trusted().iter().map(trusted).collect(),
            obstacle: instance.obstacle().map(ObstacleView::from),
        }
    }
}

fn trusted(key: &HostKeyTrusted) -> HostKeyView {
    let HostKeyTrusted { machine, algorithm, fingerprint, .. } = key.clone();
    HostKeyView { machine, algorithm, fingerprint }
}

fn state_of(known: &Known) -> (&'static str, Option<Timestamp>) {
    let changed = Some(known.instance.changed_at());
    match known.instance.reach() {
        _ if !known.linked => ("idle", None),
        Reach::Online { up, .. } if up.live => ("connected", changed),
        Reach::Online { .. } => ("polling", changed),
        Reach::Offline { why: Some(_) } => ("unreachable", changed),
        Reach::Offline { why: None } => ("connecting", None),
    }
}
