//! Every key.

use super::check;
use super::model::{LogFormat, OnUnknown};
use super::slot::Slot;

/// Whether a key can change while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// As soon as the file is read again.
    AtOnce,
    /// With the next start.
    NextStart,
}

/// A key.
pub(super) struct Key {
    pub(super) path: &'static str,
    /// What it does, for people, in lines.
    pub(super) about: &'static [&'static str],
    pub(super) change: Change,
    pub(super) slot: Slot,
}

impl Key {
    /// The section.
    pub(super) fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    /// The name within the section.
    pub(super) fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The variable of the environment.
    pub(super) fn variable(&self) -> String {
        format!("COMFYD_{}__{}", self.section(), self.name()).to_uppercase()
    }
}

/// What the sections are about, in their order.
pub(super) const SECTIONS: [(&str, &str); 6] = [
    ("comfyui_workflow", "How ComfyUI is spoken to, and how long runs may take"),
    ("server", "Where the server listens, and whom it answers"),
    ("instances", "ComfyUI servers by name"),
    ("storage", "Where files may be read and written"),
    ("limits", "How much may go on at once"),
    ("retention", "How long finished runs are kept; nothing is removed by default"),
];

const fn now(path: &'static str, about: &'static [&'static str], slot: Slot) -> Key {
    Key { path, about, change: Change::AtOnce, slot }
}

const fn later(path: &'static str, about: &'static [&'static str], slot: Slot) -> Key {
    Key { path, about, change: Change::NextStart, slot }
}

const HOST: &str = "names such as comfy.example or comfy.example:8443";
const ORIGIN: &str = "origins such as https://app.example";
const URL: &str = "an address such as http://127.0.0.1:8188 or a host alone";

/// The keys, in the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    now(
        "comfyui_workflow.default_port",
        &["The port of a ComfyUI whose address is a host alone, such as `gpu-box`"],
        Slot::Whole { from: 1, to: 65_535, at: |config| &mut config.comfyui_workflow.default_port },
    ),
    later(
        "comfyui_workflow.state_file",
        &["A copy of the newest active run's state for tools that watch one file"],
        Slot::MaybePath { at: |config| &mut config.comfyui_workflow.state_file },
    ),
    later(
        "comfyui_workflow.state_cleanup_delay_ms",
        &["How long an ended run stays in the live view; history keeps it longer"],
        Slot::Whole { from: 0, to: 86_400_000, at: |config| &mut config.comfyui_workflow.state_cleanup_delay_ms },
    ),
    now(
        "comfyui_workflow.websocket_reconnect_attempts",
        &["After so many failures to open the WebSocket a run goes on by polling; reconnecting goes on too"],
        Slot::Whole { from: 1, to: 1_000, at: |config| &mut config.comfyui_workflow.websocket_reconnect_attempts },
    ),
    now(
        "comfyui_workflow.websocket_timeout_seconds",
        &[
            "A WebSocket that carries nothing for so long, not even an answer to a ping, is opened anew.",
            "A run never fails by it",
        ],
        Slot::Whole { from: 4, to: 3_600, at: |config| &mut config.comfyui_workflow.websocket_timeout_seconds },
    ),
    now(
        "comfyui_workflow.progress_poll_interval_ms",
        &["How often queue and history are read while a run is live"],
        Slot::Whole { from: 100, to: 600_000, at: |config| &mut config.comfyui_workflow.progress_poll_interval_ms },
    ),
    now(
        "comfyui_workflow.upload_chunk_size",
        &["Files go to ComfyUI in pieces of so many bytes"],
        Slot::Whole { from: 4_096, to: 64 << 20, at: |config| &mut config.comfyui_workflow.upload_chunk_size },
    ),
    now(
        "comfyui_workflow.download_timeout_seconds",
        &["A download that brings no byte for so long is begun again where it stopped.", "The whole may take longer"],
        Slot::Whole { from: 1, to: 86_400, at: |config| &mut config.comfyui_workflow.download_timeout_seconds },
    ),
    later(
        "comfyui_workflow.temp_dir",
        &["Where each file of a form is kept while it comes in; null for memory"],
        Slot::MaybePath { at: |config| &mut config.comfyui_workflow.temp_dir },
    ),
    now(
        "comfyui_workflow.max_concurrent_workflows",
        &["How many runs may be submitted or executed at a time, over all instances; others wait in the queue"],
        Slot::Whole { from: 1, to: 100_000, at: |config| &mut config.comfyui_workflow.max_concurrent_workflows },
    ),
    now(
        "comfyui_workflow.max_execution_time_hours",
        &["A run that executes longer is interrupted and fails"],
        Slot::Whole { from: 1, to: 8_760, at: |config| &mut config.comfyui_workflow.max_execution_time_hours },
    ),
    now(
        "comfyui_workflow.queue_timeout_minutes",
        &["A run that waits longer in the queue of an instance that runs nothing of ours fails"],
        Slot::Whole { from: 1, to: 525_600, at: |config| &mut config.comfyui_workflow.queue_timeout_minutes },
    ),
    now(
        "comfyui_workflow.on_unknown",
        &[
            "When the answer to a submission was lost and the prompt is not found within a minute: wait for a person,",
            "or resubmit it under the same id, which may run it twice",
        ],
        Slot::Text {
            allowed: "wait or resubmit",
            put: |config, text| OnUnknown::parse(text).map(|choice| config.comfyui_workflow.on_unknown = choice).is_some(),
            get: |config| config.comfyui_workflow.on_unknown.as_str().to_owned(),
        },
    ),
    later(
        "server.listen",
        &[
            "Where to listen. Another address than loopback needs a token of yours and reads no files by path unless",
            "roots are named",
        ],
        Slot::Text {
            allowed: "an address with a port such as 127.0.0.1:8787",
            put: |config, text| check::listen(text).map(|listen| config.server.listen = listen).is_some(),
            get: |config| config.server.listen.to_string(),
        },
    ),
    later(
        "server.data_dir",
        &["Where runs and outputs are kept; null for $XDG_DATA_HOME/comfyd"],
        Slot::MaybePath { at: |config| &mut config.server.data_dir },
    ),
    later(
        "server.token_file",
        &["The file with the token; null for COMFYD_TOKEN, else a token in the data directory, made on first start"],
        Slot::MaybePath { at: |config| &mut config.server.token_file },
    ),
    now(
        "server.allowed_hosts",
        &["More names to answer to, as a reverse proxy or another machine uses them"],
        Slot::Texts { allowed: HOST, check: check::host_name, at: |config| &mut config.server.allowed_hosts },
    ),
    now(
        "server.public_url",
        &["The address of a reverse proxy in front; its host and origin are accepted"],
        Slot::MaybeText {
            allowed: "an address without a path such as https://comfy.example",
            read: check::public_url,
            at: |config| &mut config.server.public_url,
        },
    ),
    now(
        "server.cors_origins",
        &["Pages of other origins that may call the API with the token"],
        Slot::Texts { allowed: ORIGIN, check: check::origin, at: |config| &mut config.server.cors_origins },
    ),
    now(
        "server.url_hosts",
        &["Hosts that a request may name as `url` beside loopback"],
        Slot::Texts { allowed: "hosts without a port", check: check::bare_host, at: |config| &mut config.server.url_hosts },
    ),
    now(
        "server.default_url",
        &["Where a run goes that names no instance"],
        Slot::MaybeText {
            allowed: URL,
            read: |text| check::comfy_url(text).then(|| text.to_owned()),
            at: |config| &mut config.server.default_url,
        },
    ),
    later(
        "server.log_format",
        &["How log lines look: human or json"],
        Slot::Text {
            allowed: "human or json",
            put: |config, text| LogFormat::parse(text).map(|format| config.server.log_format = format).is_some(),
            get: |config| config.server.log_format.as_str().to_owned(),
        },
    ),
    now(
        "server.log",
        &["Which log lines are written: a level, or levels by part such as info,comfyd_server=debug.", "RUST_LOG goes before it"],
        Slot::Text {
            allowed: "a level (error warn info debug trace off), or levels by part such as info,comfyd_server=debug",
            put: |config, text| {
                check::log_filter(text) && {
                    text.clone_into(&mut config.server.log);
                    true
                }
            },
            get: |config| config.server.log.clone(),
        },
    ),
    now(
        "storage.input_roots",
        &["Folders whose files a request may name; null for the user's home while listening on loopback, else none"],
        Slot::MaybePaths { at: |config| &mut config.storage.input_roots },
    ),
    now(
        "storage.output_roots",
        &["Folders that copies of outputs may go to; null for the same default"],
        Slot::MaybePaths { at: |config| &mut config.storage.output_roots },
    ),
    later(
        "storage.template_dirs",
        &["Folders with workflow templates, the first of which wins; null for workflows in the data directory"],
        Slot::MaybePaths { at: |config| &mut config.storage.template_dirs },
    ),
    now(
        "storage.min_free_mib",
        &["New runs are refused and downloads wait below so much free disk space, in MiB"],
        Slot::Whole { from: 0, to: 1 << 30, at: |config| &mut config.storage.min_free_mib },
    ),
    now(
        "limits.submitted_ahead",
        &["How many runs may wait in an instance's own queue behind the one that executes"],
        Slot::Whole { from: 1, to: 100_000, at: |config| &mut config.limits.submitted_ahead },
    ),
    now(
        "limits.open_runs",
        &["How many runs may be open, that is not ended"],
        Slot::Whole { from: 1, to: 1_000_000, at: |config| &mut config.limits.open_runs },
    ),
    later(
        "limits.requests_in_flight",
        &["How many requests are answered at a time; more get 503"],
        Slot::Whole { from: 1, to: 100_000, at: |config| &mut config.limits.requests_in_flight },
    ),
    later(
        "limits.live_clients",
        &["How many streams of events may be open; more get 503"],
        Slot::Whole { from: 1, to: 100_000, at: |config| &mut config.limits.live_clients },
    ),
    later(
        "limits.live_clients_per_address",
        &["How many of them for one address"],
        Slot::Whole { from: 1, to: 100_000, at: |config| &mut config.limits.live_clients_per_address },
    ),
    now(
        "retention.max_age_days",
        &["Remove runs that ended more days ago; null for never"],
        Slot::MaybeWhole { from: 1, to: 36_500, at: |config| &mut config.retention.max_age_days },
    ),
    now(
        "retention.max_runs",
        &["Keep so many finished runs, the newest; null for all"],
        Slot::MaybeWhole { from: 1, to: 100_000_000, at: |config| &mut config.retention.max_runs },
    ),
    now(
        "retention.max_bytes",
        &["Keep the newest finished runs up to this size in bytes; null for all"],
        Slot::MaybeWhole { from: 1 << 20, to: 1 << 60, at: |config| &mut config.retention.max_bytes },
    ),
];
