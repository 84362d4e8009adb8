//! From the configuration to what a server is started with.

use std::path::PathBuf;
use std::time::Duration;

use comfyd_adapters::comfy::tuning::Tuning;
use comfyd_engine::Limits;

use super::model::{Config, InstanceSetting, OnUnknown};
use crate::api::Bounds;
use crate::app::RetentionRules;
use crate::instances::{COMFYUI_PORT, InstanceEntry, Place, SshWish};
use crate::server::ServeOptions;

impl Config {
    /// What a server with this configuration is started with; `data_dir` stands if none is configured.
    pub fn serve_options(&self, data_dir: PathBuf, token: Option<String>) -> ServeOptions {
        ServeOptions {
            data_dir: self.server.data_dir.clone().unwrap_or(data_dir),
            listen: self.server.listen,
            token,
            default_url: self.default_url(),
            url_hosts: Some(self.server.url_hosts.clone()),
            allowed_hosts: self.server.allowed_hosts.clone(),
            public_url: self.server.public_url.clone(),
            cors_origins: self.server.cors_origins.clone(),
            input_roots: self.storage.input_roots.clone(),
            output_roots: self.storage.output_roots.clone(),
            template_dirs: self.storage.template_dirs.clone(),
            limits: self.engine_limits(),
            tuning: self.tuning(),
            min_free: self.storage.min_free_mib << 20,
            bounds: self.bounds(),
            comfyui_port: self.usual_port(),
            surroundings: None,
            instances: Some(self.entries()),
            temp_dir: self.comfyui_workflow.temp_dir.clone(),
            state_cleanup_delay: Duration::from_millis(self.comfyui_workflow.state_cleanup_delay_ms),
            state_file: self.comfyui_workflow.state_file.clone(),
            retention: self.retention_rules(),
        }
    }

    /// How much of the past is kept.
    pub fn retention_rules(&self) -> RetentionRules {
        let kept = &self.retention;
        RetentionRules {
            max_age: kept.max_age_days.map(|days| Duration::from_secs(days * 86_400)),
            max_runs: kept.max_runs.map(|runs| usize::try_from(runs).unwrap_or(usize::MAX)),
            max_bytes: kept.max_bytes,
        }
    }

    /// The instances of the file, as the server takes them.
    pub fn entries(&self) -> Vec<InstanceEntry> {
        let entry = |setting: &InstanceSetting| InstanceEntry {
            name: setting.name.clone(),
            place: match &setting.ssh {
                Some(ssh) => {
                    Place::Ssh(SshWish { comfyui_port: Some(ssh.comfyui_port.unwrap_or(self.usual_port())), ..ssh.clone() })
                }
                None => Place::Url(self.full_url(&setting.url)),
            },
            label: setting.label.clone(),
            default: setting.default,
        };
        self.instances.iter().map(entry).collect()
    }

    /// `ComfyUI`'s port where none is told.
    fn usual_port(&self) -> u16 {
        // The key takes no larger number.
        u16::try_from(self.comfyui_workflow.default_port).unwrap_or(COMFYUI_PORT)
    }

    /// Where a run goes that names no instance.
    fn default_url(&self) -> Option<String> {
        self.server.default_url.as_deref().map(|url| self.full_url(url))
    }

    /// An address with scheme and port: a host alone gets the default port.
    pub fn full_url(&self, url: &str) -> String {
        if url.contains("://") {
            return url.to_owned();
        }
        let port = self.comfyui_workflow.default_port;
        if url.contains(':') { format!("http://[{url}]:{port}") } else { format!("http://{url}:{port}") }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            requests: count(self.limits.requests_in_flight),
            streams: count(self.limits.live_clients),
            streams_of_one: count(self.limits.live_clients_per_address),
            ..Bounds::default()
        }
    }

    fn tuning(&self) -> Tuning {
        let keys = &self.comfyui_workflow;
        Tuning {
            poll: Duration::from_millis(keys.progress_poll_interval_ms),
            socket_attempts: u32::try_from(keys.websocket_reconnect_attempts).unwrap_or(u32::MAX),
            socket_silence: Duration::from_secs(keys.websocket_timeout_seconds),
            upload_piece: usize::try_from(keys.upload_chunk_size).unwrap_or(usize::MAX),
            download_silence: Duration::from_secs(keys.download_timeout_seconds),
            ..Tuning::default()
        }
    }

    fn engine_limits(&self) -> Limits {
        Limits {
            max_concurrent: count(self.comfyui_workflow.max_concurrent_workflows),
            submitted_ahead: count(self.limits.submitted_ahead),
            max_open: count(self.limits.open_runs),
            queue_timeout_ms: self.comfyui_workflow.queue_timeout_minutes * 60_000,
            max_execution_ms: self.comfyui_workflow.max_execution_time_hours * 3_600_000,
            resubmit_unknown: self.comfyui_workflow.on_unknown == OnUnknown::Resubmit,
        }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
