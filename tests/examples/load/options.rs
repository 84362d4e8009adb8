//! What to measure.

use std::time::Duration;

use crate::peers::Mode;
use crate::work::Work;

pub(crate) const USAGE: &str = "usage: load MODE[,MODE...] [--work text|file] [--concurrency 1,8,64] [--rounds 3] [--seconds 2]
            [--comfy HOST:PORT] [--comfy-pid PID] [--comfyd HOST:PORT] [--comfyd-pid PID] [--token T] [--proxy HOST:PORT] [--proxy-pid PID]
modes: bare, comfyd, comfyd-per-run, proxy; they take turns, slice by slice";

/// The command line.
pub(crate) struct Options {
    pub(crate) modes: Vec<Mode>,
    pub(crate) work: Work,
    pub(crate) concurrency: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) slice: Duration,
    pub(crate) comfy: String,
    pub(crate) comfy_pid: Option<u32>,
    pub(crate) comfyd: String,
    pub(crate) comfyd_pid: Option<u32>,
    pub(crate) token: String,
    pub(crate) proxy: String,
    pub(crate) proxy_pid: Option<u32>,
}

impl Options {
    /// None if it cannot be understood.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let modes = arguments.next()?.split(',').map(Mode::parse).collect::<Option<Vec<_>>>()?;
        let mut options = Self {
            modes,
            work: Work::Text,
            concurrency: vec![1, 8, 64],
            rounds: 3,
            slice: Duration::from_secs(2),
            comfy: "127.0.0.1:8188".to_owned(),
            comfy_pid: None,
            comfyd: "127.0.0.1:8787".to_owned(),
            comfyd_pid: None,
            token: String::new(),
            proxy: "127.0.0.1:8189".to_owned(),
            proxy_pid: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--work" => options.work = Work::parse(&value)?,
                "--concurrency" => {
                    options.concurrency = value.split(',').map(|text| text.parse().ok()).collect::<Option<_>>()?;
                }
                "--rounds" => options.rounds = value.parse().ok()?,
                "--seconds" => options.slice = value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok())?,
                "--comfy" => options.comfy = value,
                "--comfy-pid" => options.comfy_pid = Some(value.parse().ok()?),
                "--comfyd" => options.comfyd = value,
                "--comfyd-pid" => options.comfyd_pid = Some(value.parse().ok()?),
                "--token" => options.token = value,
                "--proxy" => options.proxy = value,
                "--proxy-pid" => options.proxy_pid = Some(value.parse().ok()?),
                _ => return None, // No other option.
            }
        }
        Some(options)
    }

    pub(crate) fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.token)
    }

    /// The process whose CPU time a mode is charged with.
    pub(crate) fn pid_of(&self, mode: Mode) -> Option<u32> {
        match mode {
            Mode::Bare => Some(std::process::id()),
            Mode::Comfyd | Mode::ComfydPerRun => self.comfyd_pid,
            Mode::Proxy => self.proxy_pid,
        }
    }
}
