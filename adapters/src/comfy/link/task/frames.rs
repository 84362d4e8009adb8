//! Frames of the socket: previews to whoever looks, events to the mailbox, hints to the watch.

use comfyd_engine::{ComfyEvent, PromptId};
use futures_util::future::BoxFuture;

use super::Task;
use crate::comfy::link::Preview;
use crate::comfy::parse::{self, Incoming};
use crate::comfy::socket::Frame;

impl Task {
    pub(super) fn frame(&mut self, frame: &Frame) {
        let incoming = match frame {
            Frame::Text(text) => parse::text(text),
            Frame::Binary(bytes) => parse::binary(bytes),
        };
        match incoming {
            Ok(Incoming::Event(event)) => self.event(event),
            Ok(Incoming::Preview { prompt, node, media_type, bytes }) => {
                self.health.alive();
                // A preview without a name is of anybody's prompt, unless ours would come with one.
                let prompt = prompt.or_else(|| self.running.clone().filter(|_| !self.labelled));
                let run = prompt.and_then(|prompt| self.watch.run_of(self.watch.ours(&prompt).unwrap_or(&prompt)));
                if let Some(run) = run {
                    let preview = Preview { instance: self.config.instance.clone(), run, node, media_type, bytes };
                    // Full or closed: an older picture is being looked at, or nobody looks.
                    let _ = self.previews.try_send(preview);
                }
            }
            Ok(Incoming::FeatureFlags | Incoming::Nothing) => self.health.alive(),
            Err(error) => {
                self.health.alive();
                self.bad_frames += 1;
                tracing::debug!(%error, count = self.bad_frames, "a frame could not be read");
            }
        }
    }

    fn event(&mut self, event: ComfyEvent) {
        let now = self.now();
        let event = match event.prompt().and_then(|prompt| self.watch.ours(prompt)).cloned() {
            Some(ours) => named(event, ours),
            None => event,
        };
        self.health.heard(&event);
        match &event {
            ComfyEvent::Ending { prompt } => self.watch.ending(now, prompt),
            ComfyEvent::WentIdle { prompt } => {
                self.running = None;
                match prompt {
                    Some(prompt) => self.watch.over(now, prompt),
                    None if self.watch.is_empty() => {}
                    None => self.watch.ask_soon(now),
                }
            }
            ComfyEvent::QueueChanged { .. } => self.watch.queue_moved(now),
            ComfyEvent::Started { prompt } => self.running = Some(prompt.clone()),
            ComfyEvent::NodeStarted { prompt: Some(prompt), .. } if self.running.is_none() => self.running = Some(prompt.clone()),
            ComfyEvent::Unknown { kind } => {
                self.unknown_frames += 1;
                tracing::trace!(%kind, count = self.unknown_frames, "a frame of an unknown kind");
            }
            ComfyEvent::NodeStarted { .. }
            | ComfyEvent::Cached { .. }
            | ComfyEvent::NodeProgressed { .. }
            | ComfyEvent::ProgressReported { .. }
            | ComfyEvent::NodeProduced { .. }
            | ComfyEvent::NodeTexted { .. }
            | ComfyEvent::NodeBlocked { .. } => {}
        }
        if self.mailbox.observe(now, event).is_err() {
            self.mailbox.drop_observations();
            // A clean end, or the server may forget the next socket instead of this one.
            self.closing = self.socket.take().map(|socket| Box::pin(socket.close()) as BoxFuture<'static, ()>);
            self.lost("more frames came than could be taken in");
        }
    }
}

/// The event with our id of its prompt.
fn named(mut event: ComfyEvent, ours: PromptId) -> ComfyEvent {
    match &mut event {
        ComfyEvent::Started { prompt }
        | ComfyEvent::Cached { prompt, .. }
        | ComfyEvent::ProgressReported { prompt, .. }
        | ComfyEvent::NodeProduced { prompt, .. }
        | ComfyEvent::NodeBlocked { prompt, .. }
        | ComfyEvent::Ending { prompt } => *prompt = ours,
        ComfyEvent::NodeStarted { prompt, .. } | ComfyEvent::NodeProgressed { prompt, .. } | ComfyEvent::WentIdle { prompt } => {
            *prompt = Some(ours);
        }
        ComfyEvent::NodeTexted { .. } | ComfyEvent::QueueChanged { .. } | ComfyEvent::Unknown { .. } => {}
    }
    event
}
