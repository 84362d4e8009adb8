//! Looks at an instance now: the whole way step by step, or what it tells of itself.
//!
//! Invariants: every look has a time limit and an own connection, and few go on at a time; what is found is noted for the list.

use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::comfy::http::{Client, HttpError};
use comfyd_adapters::comfy::stats::SystemStats;
use comfyd_adapters::comfy::survey::{self, Features, Step, Survey};
use comfyd_adapters::transport::Transport;
use comfyd_engine::{Connection, InstanceId};
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::address::parse_url;
use super::board::Seen;
use super::service::{Instances, Place};
use super::ssh::instance_of;
use super::view::{DeviceView, FeaturesView};
use crate::problem::Problem;

/// How many looks go on at a time.
pub(super) const LOOKS: usize = 8;
/// How long an instance may take to tell of itself.
const STATS_LIMIT: Duration = Duration::from_secs(20);

/// The verdict on the way to an instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TestReport {
    /// Its name; null where only an address was given.
    #[schema(value_type = Option<String>)]
    pub name: Option<InstanceId>,
    /// Its address.
    pub url: String,
    /// Whether every step went well: runs can go there.
    pub ok: bool,
    /// Whether a ComfyUI answers there at all.
    pub reachable: bool,
    /// ComfyUI's version.
    pub version: Option<String>,
    /// What it computes on.
    pub devices: Vec<DeviceView>,
    /// How many prompts run and wait there, anybody's.
    pub queue: Option<u32>,
    /// What it can be asked.
    pub features: FeaturesView,
    /// The host key that the machine presents and that nobody has accepted.
    pub host_key: Option<HostKeyView>,
    /// The steps: `resolve connect http version websocket queue gpu`; over SSH `resolve connect host_key auth forward http version websocket queue gpu disk`.
    pub steps: Vec<StepView>,
}

/// A host key of a machine on the way to an instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostKeyView {
    /// The machine: its host, or `[host]:port`.
    pub machine: String,
    /// The algorithm of the key.
    pub algorithm: String,
    /// Its fingerprint: `SHA256:` and 43 characters.
    pub fingerprint: String,
}

/// One step of the way to an instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepView {
    /// Its name.
    pub name: &'static str,
    /// Whether it went well; null if it was not tried, as one before it failed.
    pub ok: Option<bool>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What was found.
    pub detail: String,
    /// What is wrong, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<StepProblem>,
}

/// What is wrong with a step.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepProblem {
    /// A stable name.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let problem = step.problem.map(|it| StepProblem { code: it.code, message: it.message, hint: it.hint });
        Self { name: step.name, ok: step.ok, ms: step.ms, detail: step.detail, problem }
    }
}

/// What an instance tells of itself now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatsView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: InstanceId,
    /// Its address.
    pub url: String,
    /// The state of our link, as in the list.
    pub state: &'static str,
    /// ComfyUI's version.
    pub version: Option<String>,
    /// The operating system, as Python calls it.
    pub os: Option<String>,
    /// Python's version.
    pub python: Option<String>,
    /// The version of `PyTorch`.
    pub pytorch: Option<String>,
    /// The machine's memory, in bytes.
    pub ram_total: Option<u64>,
    /// What is free of it.
    pub ram_free: Option<u64>,
    /// What it computes on, with its memory.
    pub devices: Vec<DeviceView>,
    /// How many prompts run and wait there, anybody's.
    pub queue: u32,
    /// How long a short question took, in milliseconds.
    pub latency_ms: u64,
    /// Runs of ours that it has or had: submitted, executing or being fetched.
    pub open_runs: usize,
    /// Runs of ours that wait for it.
    pub waiting_runs: usize,
    /// What it can be asked.
    pub features: FeaturesView,
}

/// What was asked of an instance.
struct Told {
    stats: SystemStats,
    queue: u32,
    latency_ms: u64,
    features: Features,
}

impl Instances {
    /// Goes the way to an instance.
    pub(crate) async fn test(&self, name: &str) -> Result<TestReport, Problem> {
        let known = self.known(name)?;
        let id = known.instance.id().clone();
        let url = known.instance.url().to_owned();
        // Who tests has looked, so that what was refused before is tried again.
        self.try_again(&id);
        let survey = self.walk(self.way(&id, &known.instance.setup().connection)?).await;
        self.linked.poke(&id);
        self.note(&id, &url, survey.stats.as_ref(), survey.queue, survey.features);
        Ok(report(Some(id), url, survey))
    }

    /// Goes the way to a place that may be no instance.
    pub(crate) async fn test_place(&self, place: &Place) -> Result<TestReport, Problem> {
        let connection = self.connection(place)?;
        let way = match &connection {
            Connection::Url(url) => self.way(&parse_url(url)?.instance_id(), &connection)?,
            // A way of its own: who tries another key changes nothing for the runs that use the one they have.
            Connection::Ssh(ssh) => {
                let way = self.roads.aside(&instance_of(ssh)?, ssh);
                way.ok_or_else(|| Problem::internal("a connection that was understood is none"))?
            }
        };
        let survey = self.walk(way).await;
        Ok(report(None, connection.url().to_owned(), survey))
    }

    async fn walk(&self, way: Arc<dyn Transport>) -> Survey {
        let _place = self.place().await;
        // A name of its own: a server forgets the socket of a name when another comes under it.
        survey::walk(way, &self.draw_client()).await
    }

    /// Asks an instance what it tells of itself.
    pub(crate) async fn stats(&self, name: &str) -> Result<StatsView, Problem> {
        let known = self.known(name)?;
        let (id, url) = (known.instance.id().clone(), known.instance.url().to_owned());
        let _place = self.place().await;
        let http = Client::new(self.way(&id, &known.instance.setup().connection)?);
        let told = match timeout(STATS_LIMIT, ask(&http)).await {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => return Err(does_not_answer(&id, &error)),
            Err(_) => {
                let message = format!("instance {id} does not answer within {} s", STATS_LIMIT.as_secs());
                return Err(Problem::new(504, "no_answer", message, "ComfyUI may be busy loading: try again."));
            }
        };
        self.note(&id, &url, Some(&told.stats), Some(told.queue), told.features);
        let view = self.one(name)?;
        let Told { stats, queue, latency_ms, features } = told;
        Ok(StatsView {
            name: id,
            url,
            state: view.state,
            version: stats.version,
            os: stats.os,
            python: stats.python,
            pytorch: stats.pytorch,
            ram_total: stats.ram_total,
            ram_free: stats.ram_free,
            devices: stats.devices.into_iter().map(DeviceView::from).collect(),
            queue,
            latency_ms,
            open_runs: view.open_runs,
            waiting_runs: view.waiting_runs,
            features: features.into(),
        })
    }

    pub(super) async fn place(&self) -> SemaphorePermit<'_> {
        self.looks.acquire().await.expect("the semaphore is never closed")
    }

    pub(super) fn way(&self, id: &InstanceId, connection: &Connection) -> Result<Arc<dyn Transport>, Problem> {
        let message = || format!("instance {id} has no usable address: {}", connection.url());
        (self.connector)(id, connection).ok_or_else(|| Problem::new(409, "bad_address", message(), "Give it another address."))
    }

    fn note(&self, id: &InstanceId, url: &str, stats: Option<&SystemStats>, queue: Option<u32>, features: Features) {
        let Some(stats) = stats else { return };
        let seen = Seen { url: url.to_owned(), at: self.clock.now(), devices: stats.devices.clone(), queue, features };
        self.board.saw(id, seen);
    }
}

async fn ask(http: &Client) -> Result<Told, HttpError> {
    let stats = http.stats().await?;
    // Timed on a connection that is open already, as polling has it.
    let began = Instant::now();
    let queue = http.prompt_info().await?;
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let features = Features { cancels_jobs: http.has_cancel().await?, ..Features::of_version(stats.version.as_deref()) };
    Ok(Told { stats, queue, latency_ms, features })
}

/// The instance is known and does not do its part.
pub(super) fn does_not_answer(id: &InstanceId, error: &HttpError) -> Problem {
    Problem::new(502, error.code(), format!("instance {id} gives no answer: failed to {error}"), error.hint())
}

fn report(name: Option<InstanceId>, url: String, survey: Survey) -> TestReport {
    let ok = survey.is_good();
    let reachable = survey.steps.iter().any(|step| step.name == "http" && step.ok == Some(true));
    let stats = survey.stats.unwrap_or_default();
    TestReport {
        name,
        url,
        ok,
        reachable,
        version: stats.version,
        devices: stats.devices.into_iter().map(DeviceView::from).collect(),
        queue: survey.queue,
        features: survey.features.into(),
        host_key: survey.presented.map(|it| HostKeyView {
            machine: it.machine,
            algorithm: it.key.algorithm().to_owned(),
            fingerprint: it.key.fingerprint().to_owned(),
        }),
        steps: survey.steps.into_iter().map(StepView::from).collect(),
    }
}
