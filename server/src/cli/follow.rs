//! Follows one run through the server's events, over broken connections and server restarts.
//!
//! Invariants: each connect asks for what came after the newest state, and gets that or the whole state, so nothing is missed by a reconnect; the
//! reader is a task of its own, so that drawing and waiting never interrupt a read.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::client::Client;
use super::error::{CliError, Exit};
use super::sse::SseReader;
use super::wire::RunDoc;
use crate::patch::{list_shape, merge};

/// News of a run.
#[derive(Debug)]
pub(crate) enum News {
    /// Its state.
    State {
        /// The JSON of the view.
        json: String,
        /// As we read it.
        run: Box<RunDoc>,
    },
    /// The server does not answer; it is tried again.
    Lost(String),
    /// Nothing more will come.
    End,
    /// Following ended.
    Broken(CliError),
}

/// A few states; a slow terminal holds the reader up, and the server then drops what is outdated.
const AHEAD: usize = 8;
/// The first pause before a reconnect; doubled up to [`SLOWEST`].
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause before a reconnect.
const SLOWEST: Duration = Duration::from_secs(2);

/// A followed run; dropping it ends the following.
#[derive(Debug)]
pub(crate) struct Follow {
    news: mpsc::Receiver<News>,
    _reader: AbortOnDropHandle<()>,
}

impl Follow {
    /// Follows a run; gives up after `patience` without the server.
    pub(crate) fn start(client: Client, run: String, patience: Duration) -> Self {
        let (sender, news) = mpsc::channel(AHEAD);
        let reader = tokio::spawn(async move {
            let reading = Reader { client, run, patience, news: sender, newest: None, id: None };
            // A closed channel means that nobody follows any more.
            let _ = reading.run().await;
        });
        Self { news, _reader: AbortOnDropHandle::new(reader) }
    }

    /// The next news. May be cancelled without loss.
    pub(crate) async fn next(&mut self) -> News {
        self.news.recv().await.unwrap_or(News::End)
    }
}

/// Nobody listens any more.
struct Closed;

/// Why a connection ended.
enum Ended {
    /// The server said that nothing more comes.
    Properly,
    /// It broke.
    Broken(String),
}

struct Reader {
    client: Client,
    run: String,
    patience: Duration,
    news: mpsc::Sender<News>,
    /// The newest state, in the shape that patches are for.
    newest: Option<Value>,
    /// The id of the event that made it so.
    id: Option<String>,
}

impl Reader {
    async fn tell(&self, news: News) -> Result<(), Closed> {
        self.news.send(news).await.map_err(|_| Closed)
    }

    async fn run(mut self) -> Result<(), Closed> {
        let path = format!("/api/v1/runs/{}/events", self.run);
        let mut pause = FIRST;
        let mut silent_since: Option<Instant> = None;
        loop {
            let why = match self.client.events(&path, self.id.as_deref()).await {
                Ok(events) => {
                    let before = self.id.clone();
                    match self.read(events).await? {
                        Ended::Properly => return self.tell(News::End).await,
                        Ended::Broken(why) => {
                            if self.id != before {
                                (pause, silent_since) = (FIRST, None);
                            }
                            why
                        }
                    }
                }
                Err(error) if is_passing(&error) => error.message,
                // After it was seen, a wrong answer is a server that is not up yet; its word counts once patience ends.
                Err(error) => return self.tell(News::Broken(error)).await,
            };
            let since = *silent_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.patience {
                return self.tell(News::Broken(self.gave_up(&why))).await;
            }
            self.tell(News::Lost(why)).await?;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SLOWEST);
            self.client.refresh();
        }
    }

    async fn read(&mut self, mut events: SseReader) -> Result<Ended, Closed> {
        loop {
            match events.next().await {
                Ok(Some(event)) => match event.name.as_str() {
                    "state" | "patch" => match self.change(&event.name, &event.data) {
                        Ok((json, run)) => {
                            self.id = event.id;
                            self.tell(News::State { json, run: Box::new(run) }).await?;
                        }
                        Err(error) => {
                            // What cannot be read must not be built on: the next connect begins anew.
                            (self.newest, self.id) = (None, None);
                            return Ok(Ended::Broken(format!("a state cannot be read: {error}")));
                        }
                    },
                    "end" => return Ok(Ended::Properly),
                    _ => {} // previews are for the page; later kinds are not for this version
                },
                Ok(None) => return Ok(Ended::Broken("the server closed the connection".to_owned())),
                Err(error) => return Ok(Ended::Broken(error.to_string())),
            }
        }
    }

    /// Takes a whole state or a patch to the newest one; the view as JSON and as we read it.
    fn change(&mut self, name: &str, data: &str) -> Result<(String, RunDoc), serde_json::Error> {
        let value: Value = serde_json::from_str(data)?;
        if name == "patch" {
            merge(self.newest.get_or_insert(Value::Null), value);
        } else {
            self.newest = Some(value);
        }
        let json = self.newest.as_ref().map(list_shape).unwrap_or_default().to_string();
        let run = RunDoc::read(&json)?;
        Ok((json, run))
    }

    fn gave_up(&self, why: &str) -> CliError {
        let message = format!("comfyd did not answer for {} s: {why}", self.patience.as_secs());
        let hint = format!("The run is recorded and goes on. Start comfyd again, then: comfyd watch {}", self.run);
        CliError::new(Exit::Unreachable, "server_unreachable", message, hint)
    }
}

/// Whether a server that restarts may have said so.
fn is_passing(error: &CliError) -> bool {
    error.exit == Exit::Unreachable || matches!(error.code.as_str(), "starting" | "stopping" | "busy" | "not_ready")
}
