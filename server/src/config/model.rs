//! The values of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use comfyd_engine::InstanceId;

use crate::instances::SshWish;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How ComfyUI is spoken to and how long runs may take.
    pub comfyui_workflow: ComfyuiWorkflow,
    /// Where the server listens and whom it answers.
    pub server: ServerSettings,
    /// The ComfyUI servers that are known by name.
    pub instances: Vec<InstanceSetting>,
    /// Where files may be read and written.
    pub storage: StorageSettings,
    /// How much may go on at once.
    pub limits: LimitSettings,
    /// How long finished runs are kept.
    pub retention: RetentionSettings,
}

/// The section `comfyui_workflow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComfyuiWorkflow {
    /// The port of a ComfyUI that is named by its host alone.
    pub default_port: u64,
    /// Where a copy of the newest active run's state is kept.
    pub state_file: Option<PathBuf>,
    /// How long an ended run stays in the live view.
    pub state_cleanup_delay_ms: u64,
    /// Failures to open the socket after which a run is shown as polling.
    pub websocket_reconnect_attempts: u64,
    /// Silence after which a socket is dead.
    pub websocket_timeout_seconds: u64,
    /// The rhythm of polling.
    pub progress_poll_interval_ms: u64,
    /// The size of the pieces of an upload.
    pub upload_chunk_size: u64,
    /// Silence after which a download is begun again.
    pub download_timeout_seconds: u64,
    /// Where files in the making are kept.
    pub temp_dir: Option<PathBuf>,
    /// Runs that are submitted or executed at a time.
    pub max_concurrent_workflows: u64,
    /// How long a run may execute.
    pub max_execution_time_hours: u64,
    /// How long a run may wait in an idle instance's queue.
    pub queue_timeout_minutes: u64,
    /// What becomes of a prompt whose fate could not be learned.
    pub on_unknown: OnUnknown,
}

impl Default for ComfyuiWorkflow {
    fn default() -> Self {
        Self {
            default_port: 18188,
            state_file: None,
            state_cleanup_delay_ms: 30_000,
            websocket_reconnect_attempts: 3,
            websocket_timeout_seconds: 60,
            progress_poll_interval_ms: 2_000,
            upload_chunk_size: 8 << 20,
            download_timeout_seconds: 300,
            temp_dir: None,
            max_concurrent_workflows: 3,
            max_execution_time_hours: 24,
            queue_timeout_minutes: 30,
            on_unknown: OnUnknown::Wait,
        }
    }
}

/// What becomes of a prompt whose answer was lost and that is not found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// Its run waits for a person.
    #[default]
    Wait,
    /// It is posted again under the same id.
    Resubmit,
}

impl OnUnknown {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Resubmit => "resubmit",
        }
    }

    /// What a word means.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Wait, Self::Resubmit].into_iter().find(|choice| choice.as_str() == word)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }

    /// What a word means.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Human, Self::Json].into_iter().find(|format| format.as_str() == word)
    }
}

/// The section `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The data directory.
    pub data_dir: Option<PathBuf>,
    /// The file that holds the token.
    pub token_file: Option<PathBuf>,
    /// More names to answer to.
    pub allowed_hosts: Vec<String>,
    /// The address of a reverse proxy in front.
    pub public_url: Option<String>,
    /// Pages of other origins that may call the API.
    pub cors_origins: Vec<String>,
    /// Hosts that a `url` may name beside loopback.
    pub url_hosts: Vec<String>,
    /// Where a run goes that names no instance.
    pub default_url: Option<String>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log: String,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            data_dir: None,
            token_file: None,
            allowed_hosts: vec![],
            public_url: None,
            cors_origins: vec![],
            url_hosts: vec![],
            default_url: None,
            log_format: LogFormat::Human,
            log: "info".to_owned(),
        }
    }
}

/// One entry of the section `instances`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSetting {
    /// Its name.
    pub name: InstanceId,
    /// Its address; empty where it is reached over SSH.
    pub url: String,
    /// How it is reached over SSH.
    pub ssh: Option<SshWish>,
    /// The name shown to people.
    pub label: Option<String>,
    /// Whether runs that name no instance go there.
    pub default: bool,
}

/// The section `storage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// Folders whose files may be read; none for the default.
    pub input_roots: Option<Vec<PathBuf>>,
    /// Folders that copies of outputs may go to; none for the default.
    pub output_roots: Option<Vec<PathBuf>>,
    /// Folders with workflow templates; none for the default.
    pub template_dirs: Option<Vec<PathBuf>>,
    /// Free disk space below which no new run is taken.
    pub min_free_mib: u64,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { input_roots: None, output_roots: None, template_dirs: None, min_free_mib: 512 }
    }
}

/// The section `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Runs that wait in an instance's own queue.
    pub submitted_ahead: u64,
    /// Runs that have not ended.
    pub open_runs: u64,
    /// Requests that are being answered.
    pub requests_in_flight: u64,
    /// Open streams of events.
    pub live_clients: u64,
    /// Open streams of events of one address.
    pub live_clients_per_address: u64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { submitted_ahead: 1, open_runs: 10_000, requests_in_flight: 256, live_clients: 2_000, live_clients_per_address: 64 }
    }
}

/// The section `retention`; nothing is removed by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Remove runs that ended longer ago.
    pub max_age_days: Option<u64>,
    /// Keep so many finished runs.
    pub max_runs: Option<u64>,
    /// Keep finished runs up to this size together.
    pub max_bytes: Option<u64>,
}
