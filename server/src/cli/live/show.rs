//! Shows the news of a run in the form that fits who reads.

use std::time::Instant;

use comfyd_engine::{Seq, Throttle, Timestamp};

use super::plain::Plain;
use super::screen::Screen;
use super::{Moment, draw};
use crate::cli::error::CliError;
use crate::cli::out::{Form, Out};
use crate::cli::time;
use crate::cli::wire::RunDoc;

/// At most ten pictures a second.
const REDRAW_MS: u64 = 100;

/// What shows a run.
#[derive(Debug)]
pub(crate) struct Show {
    out: Out,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Drawn(Box<Drawn>),
    Plain(Plain),
    Json { newest: Option<(Seq, Option<u32>)> },
}

#[derive(Debug)]
struct Drawn {
    screen: Screen,
    gate: Throttle,
    began: Instant,
    run: Option<RunDoc>,
    lost: Option<String>,
}

impl Show {
    /// The form for this output.
    pub(crate) fn new(out: Out) -> Self {
        let kind = match out.form() {
            Form::Json => Kind::Json { newest: None },
            Form::Human if out.is_drawable() => {
                let gate = Throttle::every_ms(REDRAW_MS);
                let drawn = Drawn { screen: Screen::new(out), gate, began: Instant::now(), run: None, lost: None };
                Kind::Drawn(Box::new(drawn))
            }
            Form::Human => Kind::Plain(Plain::default()),
        };
        Self { out, kind }
    }

    /// Shows a state.
    pub(crate) fn state(&mut self, json: &str, run: &RunDoc) -> Result<(), CliError> {
        match &mut self.kind {
            Kind::Drawn(drawn) => {
                drawn.run = Some(run.clone());
                drawn.lost = None;
                drawn.redraw(self.out)
            }
            Kind::Plain(plain) => plain.lines(run, time::now()).into_iter().try_for_each(|line| self.out.line(line)),
            Kind::Json { newest } => {
                // A reconnect repeats the newest state, which is no change; the place in the queue moves without a fact.
                let before = newest.replace(place(run));
                if before == *newest { Ok(()) } else { self.out.line(json.replace(['\n', '\r'], " ")) }
            }
        }
    }

    /// Shows that the server does not answer.
    pub(crate) fn lost(&mut self, why: &str) -> Result<(), CliError> {
        match &mut self.kind {
            Kind::Drawn(drawn) => {
                drawn.lost = Some(why.to_owned());
                drawn.redraw(self.out)
            }
            Kind::Plain(plain) => plain.lost(why, time::now()).map_or(Ok(()), |line| self.out.line(line)),
            Kind::Json { .. } => Ok(()),
        }
    }

    /// Time went by: estimates move, and what was held back is due.
    pub(crate) fn tick(&mut self) -> Result<(), CliError> {
        match &mut self.kind {
            Kind::Drawn(drawn) => drawn.redraw(self.out),
            Kind::Plain(_) | Kind::Json { .. } => Ok(()),
        }
    }

    /// Leaves the last picture behind, complete.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        match &mut self.kind {
            Kind::Drawn(drawn) => drawn.paint(self.out),
            Kind::Plain(_) | Kind::Json { .. } => Ok(()),
        }
    }
}

fn place(run: &RunDoc) -> (Seq, Option<u32>) {
    (run.seq, run.progress.queue_position)
}

impl Drawn {
    fn redraw(&mut self, out: Out) -> Result<(), CliError> {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.gate.admit(Timestamp(passed)) { self.paint(out) } else { Ok(()) }
    }

    fn paint(&mut self, out: Out) -> Result<(), CliError> {
        let Some(run) = &self.run else { return Ok(()) };
        let moment = Moment { now: time::now(), lost: self.lost.as_deref() };
        let lines = draw(run, moment, Screen::size(), out.palette());
        self.screen.draw(&lines)
    }
}
