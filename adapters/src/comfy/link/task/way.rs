//! The way to the instance: whether it answers, whether it is the same process, whether its socket is open.

use comfyd_engine::LinkChange;

use super::{HEALTHY_MS, IDLE_CAP, Probed, Reach, Task, WATCHED_CAP};
use crate::comfy::http::{Client, HttpError};
use crate::comfy::link::Peer;
use crate::comfy::look::{self, Memory};
use crate::comfy::socket::{Opened, Socket, SocketError};
use crate::comfy::version::Version;

impl Task {
    pub(super) fn probe(&mut self) {
        self.probing = Some(Box::pin(probe(self.config.http.clone(), self.watch.memory())));
    }

    pub(super) fn retry_later(&mut self) {
        let cap = if self.watch.is_empty() { IDLE_CAP } else { WATCHED_CAP };
        let wait = self.backoff.next_capped(self.rng.as_ref(), cap);
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.retry_at = Some(self.now().plus_ms(wait));
    }

    pub(super) fn probed(&mut self, probed: Result<Probed, HttpError>) {
        self.probing = None;
        let Probed { version, forgotten, process } = match probed {
            Ok(probed) => probed,
            Err(error) => return self.down(&error),
        };
        if self.socket.is_some() {
            // Only a doubt about the way, and it is good.
            return;
        }
        if process.is_some() {
            // Another process has forgotten everything. The same one may have too: it can begin anew in its own place.
            let same = self.process == process;
            if let Some(before) = std::mem::replace(&mut self.process, process.clone()).filter(|_| !same) {
                let now = process.as_deref().unwrap_or_default();
                self.evidence = Some(format!("it is the process {now}, not {before}"));
            }
        }
        if let Some(prompt) = forgotten.filter(|_| self.was_up) {
            self.evidence.get_or_insert_with(|| format!("prompt {prompt}, which had ended, is gone from history"));
        }
        if let Some(evidence) = self.evidence.take() {
            tracing::info!(%evidence, "instance.restarted");
            self.watch.restarted();
            self.tell(LinkChange::Restarted { evidence });
        }
        self.version = version;
        let (http, client) = (self.config.http.clone(), self.config.client.clone());
        self.opening =
            Some(Box::pin(async move { Socket::open_tuned(http.transport().as_ref(), &client, http.tuning().clone()).await }));
    }

    pub(super) fn opened(&mut self, opened: Result<Opened, SocketError>) {
        self.opening = None;
        let now = self.now();
        match opened {
            Ok(Opened { socket, early, labelled }) => {
                self.socket = Some(socket);
                self.socket_failures = 0;
                self.labelled = labelled;
                self.opened_at = now;
                self.health.opened(now);
                self.up(true);
                for frame in &early {
                    self.frame(frame);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no socket");
                self.note_refusal(error.is_refused());
                self.socket_failures = self.socket_failures.saturating_add(1);
                if self.socket_failures >= self.config.http.tuning().get().socket_attempts {
                    self.up(false);
                }
                self.retry_later();
            }
        }
    }

    pub(super) fn up(&mut self, live: bool) {
        let new = !matches!(self.reach, Reach::Up { .. });
        if !live && self.reach == (Reach::Up { live }) {
            return;
        }
        let version = self.version.as_deref().and_then(Version::parse);
        self.peer.send_modify(|peer| *peer = Peer { ups: peer.ups + u64::from(new), version });
        if self.reach != (Reach::Up { live }) {
            tracing::info!(live, version = self.version.as_deref().unwrap_or("unknown"), "instance.up");
            self.reach = Reach::Up { live };
            self.tell(LinkChange::Up { version: self.version.clone(), live, process: self.process.clone() });
        }
        self.was_up = true;
        self.watch.ask_all(self.now());
    }

    /// The way is closed.
    pub(super) fn down(&mut self, error: &HttpError) {
        self.note_refusal(error.is_refused());
        self.socket = None;
        self.probing = None;
        self.opening = None;
        self.running = None;
        let obstacle = error.obstacle();
        if self.reach != Reach::Down {
            // What was known of it may be of another process when it is back.
            self.peer.send_modify(|peer| peer.ups += 1);
        }
        if self.reach != Reach::Down || self.obstacle != obstacle {
            tracing::warn!(%error, "instance.down");
            self.reach = Reach::Down;
            self.obstacle.clone_from(&obstacle);
            self.tell(LinkChange::Down { why: error.to_string(), obstacle });
        }
        self.retry_later();
    }

    /// Nobody listens there now, so the process that had our prompts is gone.
    pub(super) fn note_refusal(&mut self, refused: bool) {
        if refused && (self.was_up || !self.watch.is_empty()) {
            self.evidence.get_or_insert_with(|| "the port was refused in between".to_owned());
        }
    }

    /// The socket broke.
    pub(super) fn lost(&mut self, why: &str) {
        tracing::debug!(%why, "the socket is lost");
        self.socket = None;
        if self.now().since(self.opened_at) >= HEALTHY_MS {
            self.backoff.reset();
        }
        self.gap(why);
        self.retry_later();
        // Tells soon whether the instance is there at all.
        if !self.watch.is_empty() {
            self.watch.ask_soon(self.now());
        }
    }

    pub(super) fn gap(&mut self, why: &str) {
        self.running = None;
        self.tell(LinkChange::Gap { why: why.to_owned() });
    }
}

async fn probe(http: Client, memory: Memory) -> Result<Probed, HttpError> {
    let version = match http.system_stats().await {
        Ok(version) => version,
        // Too old to know the question, and yet it answers.
        Err(HttpError::Status { status: 404, .. }) => match http.prompt_info().await {
            Ok(_) => None,
            Err(HttpError::Status { what, status: 404, .. }) => {
                return Err(HttpError::Shape { what, why: "the server answered with status 404".to_owned() });
            }
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error),
    };
    let forgotten = look::forgotten(&http, memory).await?;
    Ok(Probed { version, forgotten, process: http.transport().process().await })
}
