//! Goes the whole way to a server, step by step, and tells how far it got.
//!
//! Invariants: nothing on the server changes; every step has a time limit; after one that fails no other is tried; the socket has a `clientId` of its own, as
//! a server forgets a socket when another comes under its name.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use comfyd_engine::ClientId;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::http::{Client, HttpError};
use super::socket::{Opened, Socket, SocketError};
use super::stats::{Device, SystemStats};
use super::version::Version;
use crate::ssh::{Presented, SshError, SshTransport, Told};
use crate::transport::Transport;

/// How long a step may take.
const STEP_LIMIT: Duration = Duration::from_secs(15);

/// The steps over SSH, in order.
pub const SSH_STEPS: [&str; 11] =
    ["resolve", "connect", "host_key", "auth", "forward", "http", "version", "websocket", "queue", "gpu", "disk"];

/// The steps, in order.
pub const STEPS: [&str; 7] = ["resolve", "connect", "http", "version", "websocket", "queue", "gpu"];

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name, one of [`STEPS`] or [`SSH_STEPS`].
    pub name: &'static str,
    /// Whether it went well; none if it was not tried.
    pub ok: Option<bool>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What was found.
    pub detail: String,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Trouble>,
}

/// What is wrong with the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// A stable name.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

/// What the server can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Features {
    /// Whether it takes our id for a prompt.
    pub takes_prompt_id: Option<bool>,
    /// Whether `/interrupt` stops the prompt that is named and no other.
    pub interrupts_by_id: Option<bool>,
    /// Whether a job can be cancelled in one step.
    pub cancels_jobs: Option<bool>,
}

impl Features {
    /// What a version tells.
    pub fn of_version(version: Option<&str>) -> Self {
        let version = version.and_then(Version::parse);
        Self {
            takes_prompt_id: version.map(Version::takes_prompt_id),
            interrupts_by_id: version.map(Version::interrupts_by_id),
            cancels_jobs: None,
        }
    }
}

/// How far it got, and what was learned on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The steps.
    pub steps: Vec<Step>,
    /// What the server tells of itself.
    pub stats: Option<SystemStats>,
    /// How many prompts run and wait there.
    pub queue: Option<u32>,
    /// What it can be asked.
    pub features: Features,
    /// The host key that the machine presents and that nobody has accepted.
    pub presented: Option<Presented>,
    names: &'static [&'static str],
}

impl Survey {
    /// Whether every step went well.
    pub fn is_good(&self) -> bool {
        self.steps.iter().all(|step| step.ok == Some(true))
    }
}

/// Goes the way.
pub async fn walk(transport: Arc<dyn Transport>, client: &ClientId) -> Survey {
    let names: &[&'static str] = if transport.ssh().is_some() { &SSH_STEPS } else { &STEPS };
    let mut survey =
        Survey { steps: Vec::new(), stats: None, queue: None, features: Features::default(), presented: None, names };
    // A step that fails has said so in its place.
    let _ = go(transport, client, &mut survey).await;
    for name in &names[survey.steps.len()..] {
        let detail = "not tried".to_owned();
        survey.steps.push(Step { name, ok: None, ms: 0, detail, problem: None });
    }
    survey
}

/// The step failed; the rest is left out.
struct Stopped;

async fn go(transport: Arc<dyn Transport>, client: &ClientId, survey: &mut Survey) -> Result<(), Stopped> {
    if let Some(ssh) = transport.ssh() {
        over_ssh(ssh, survey).await?;
    } else {
        straight(transport.as_ref(), survey).await?;
    }
    let http = Client::new(Arc::clone(&transport));
    answers(&http, client, survey).await?;
    let Some(ssh) = transport.ssh() else { return Ok(()) };
    step(survey, async {
        let told = ssh.way().control().probe(ssh.port()).await.map_err(|error| Trouble::of_ssh(&error))?;
        Ok((about_disk(&told), ()))
    })
    .await
}

/// The steps that TCP takes.
async fn straight(transport: &dyn Transport, survey: &mut Survey) -> Result<(), Stopped> {
    let addresses = step(survey, async {
        let found = transport.resolve().await.map_err(|error| Trouble::of_io("look up the host", &error))?;
        let listed: Vec<String> = found.iter().take(8).map(ToString::to_string).collect();
        let detail = if listed.is_empty() { "nothing to look up".to_owned() } else { listed.join(", ") };
        Ok((detail, ()))
    });
    addresses.await?;
    step(survey, async {
        let stream = transport.connect().await.map_err(|error| Trouble::of_io("connect", &error))?;
        drop(stream);
        Ok((format!("connected to {}", transport.host()), ()))
    })
    .await
}

/// The steps that SSH takes: one attempt, whose error tells how far it came.
async fn over_ssh(ssh: &SshTransport, survey: &mut Survey) -> Result<(), Stopped> {
    let session = ssh.way().control();
    let destination = session.config().destination.clone();
    let began = Instant::now();
    let mut attempt = session.connect().await;
    let mut stream = None;
    if attempt.is_ok() {
        match session.stream(ssh.port()).await {
            // The connection was lost meanwhile, and the next one came only so far.
            Err(error) if error.step() != "forward" => attempt = Err(error),
            done => stream = Some(done),
        }
    }
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    survey.presented = attempt.as_ref().err().and_then(SshError::presented).cloned();
    let failed_at = attempt.as_ref().err().map(SshError::step);
    let to = destination.target.authority();
    let said = [
        ("resolve", destination.target.host.clone()),
        ("connect", format!("connected to {to}")),
        ("host_key", "the machine's host key is trusted".to_owned()),
        ("auth", format!("logged in as {}", destination.target.user)),
    ];
    for (name, detail) in said {
        let problem = attempt.as_ref().err().filter(|_| failed_at == Some(name)).map(Trouble::of_ssh);
        // The time of the whole attempt stands where it ended.
        let ms = if problem.is_some() || name == "auth" { ms } else { 0 };
        let stop = problem.is_some();
        let detail = problem.as_ref().map_or(detail, |problem| problem.message.clone());
        survey.steps.push(Step { name, ok: Some(!stop), ms, detail, problem });
        if stop {
            return Err(Stopped);
        }
    }
    step(survey, async {
        drop(stream.transpose().map_err(|error| Trouble::of_ssh(&error))?);
        Ok((format!("a stream to port {} of the machine", ssh.port()), ()))
    })
    .await
}

/// The steps that ComfyUI takes part in.
async fn answers(http: &Client, client: &ClientId, survey: &mut Survey) -> Result<(), Stopped> {
    let transport = Arc::clone(http.transport());
    let stats = step(survey, async {
        let stats = http.stats().await.map_err(|error| Trouble::of(&error))?;
        Ok((format!("it answers as a ComfyUI{}", on_what(&stats)), stats))
    })
    .await?;
    let version = stats.version.clone();
    step(survey, async {
        // Only a nicety: if the way is bad, the next step says so.
        let cancels_jobs = http.has_cancel().await.unwrap_or(None);
        let features = Features { cancels_jobs, ..Features::of_version(version.as_deref()) };
        Ok((about_version(version.as_deref(), features), features))
    })
    .await
    .map(|features| survey.features = features)?;
    step(survey, async {
        let Opened { socket, labelled, .. } =
            Socket::open(transport.as_ref(), client).await.map_err(|error| Trouble::of_socket(&error))?;
        socket.close().await;
        let previews = if labelled { "previews name their runs" } else { "an older protocol: previews are matched by time" };
        Ok((format!("opened; {previews}"), ()))
    })
    .await?;
    let waiting = step(survey, async {
        let waiting = http.prompt_info().await.map_err(|error| Trouble::of(&error))?;
        Ok((format!("{waiting} running or waiting"), waiting))
    })
    .await?;
    survey.queue = Some(waiting);
    let devices = stats.devices.clone();
    survey.stats = Some(stats);
    step(survey, async { Ok((about_devices(&devices), ())) }).await
}

/// Takes the next step within its time.
async fn step<T>(survey: &mut Survey, work: impl Future<Output = Result<(String, T), Trouble>>) -> Result<T, Stopped> {
    let name = survey.names[survey.steps.len()];
    let began = Instant::now();
    let done = timeout(STEP_LIMIT, work).await.unwrap_or_else(|_| Err(Trouble::too_slow(name)));
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match done {
        Ok((detail, found)) => {
            survey.steps.push(Step { name, ok: Some(true), ms, detail, problem: None });
            Ok(found)
        }
        Err(problem) => {
            survey.steps.push(Step { name, ok: Some(false), ms, detail: problem.message.clone(), problem: Some(problem) });
            Err(Stopped)
        }
    }
}

impl Trouble {
    fn of(error: &HttpError) -> Self {
        match error {
            HttpError::Connect { source, .. } => Self::of_io("connect", source),
            other => Self { code: other.code(), message: format!("failed to {other}"), hint: other.hint() },
        }
    }

    fn of_socket(error: &SocketError) -> Self {
        let hint =
            "ComfyUI answers without its WebSocket: a proxy in between must pass `Upgrade` on. Runs work by polling until then.";
        match error {
            SocketError::Connect(error) => Self::of(error),
            SocketError::Broken(_) | SocketError::NoAnswer | SocketError::Dead | SocketError::Closed => {
                Self { code: "no_websocket", message: format!("failed to {error}"), hint }
            }
        }
    }

    fn of_io(what: &str, error: &std::io::Error) -> Self {
        if let Some(ssh) = SshError::of(error) {
            return Self::of_ssh(ssh);
        }
        let (code, hint) = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                ("address_refused", "Give the address of the ComfyUI itself; link-local and metadata addresses are never used.")
            }
            std::io::ErrorKind::ConnectionRefused => (
                "unreachable",
                "Nothing listens there: start ComfyUI, or correct the port. For another machine it must run with --listen.",
            ),
            // Any other cause leads to the same advice.
            _ => ("unreachable", "Check that ComfyUI runs and that host and port are right."),
        };
        Self { code, message: format!("failed to {what}: {error}"), hint }
    }

    fn of_ssh(error: &SshError) -> Self {
        Self { code: error.code(), message: format!("failed to {error}"), hint: error.hint() }
    }

    fn too_slow(name: &str) -> Self {
        let message = format!("failed to finish the step `{name}` within {} s", STEP_LIMIT.as_secs());
        Self { code: "no_answer", message, hint: "ComfyUI may be busy loading: try again. If it stays, look at its log." }
    }
}

fn about_disk(told: &Told) -> String {
    let free = told.free.map_or_else(|| "free space is not told".to_owned(), |free| format!("{} GiB free", free >> 30));
    match &told.output_dir {
        Some(dir) => format!("{free}; outputs are fetched from {dir} by SFTP"),
        None => format!("{free}; the output folder is not known, so outputs are fetched by /view"),
    }
}

fn on_what(stats: &SystemStats) -> String {
    let told = [stats.os.as_deref(), stats.python.as_deref().map(|python| python.split(' ').next().unwrap_or(python))];
    match told {
        [Some(os), Some(python)] => format!(" on {os} with Python {python}"),
        [Some(os), None] => format!(" on {os}"),
        [None, _] => String::new(),
    }
}

fn about_version(version: Option<&str>, features: Features) -> String {
    let Some(version) = version else {
        return "it does not tell its version, so it is an old one: runs are found by a mark of ours, stopping may need force"
            .to_owned();
    };
    let mut lacks = Vec::new();
    if features.takes_prompt_id == Some(false) {
        lacks.push("makes its own prompt ids");
    }
    if features.interrupts_by_id == Some(false) {
        lacks.push("stops whatever runs, so stopping needs force");
    }
    if lacks.is_empty() { format!("ComfyUI {version}") } else { format!("ComfyUI {version}; it {}", lacks.join(" and ")) }
}

fn about_devices(devices: &[Device]) -> String {
    let gib = |bytes: u64| format!("{}.{} GiB", bytes >> 30, ((bytes & ((1 << 30) - 1)) * 10) >> 30);
    let one = |device: &Device| match (device.vram_free, device.vram_total) {
        (Some(free), Some(total)) => format!("{}: {} of {} free", device.name, gib(free), gib(total)),
        (None | Some(_), None) | (None, Some(_)) => device.name.clone(),
    };
    if devices.is_empty() { "it tells of no device".to_owned() } else { devices.iter().map(one).collect::<Vec<_>>().join("; ") }
}
