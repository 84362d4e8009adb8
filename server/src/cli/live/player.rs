//! Shows a run as it was, in the time of its log.

use super::plain::Plain;
use super::screen::Screen;
use super::{Moment, draw};
use crate::cli::error::CliError;
use crate::cli::out::{Form, Out};
use crate::cli::wire::RunDoc;

/// What shows it.
#[derive(Debug)]
pub(crate) struct Player {
    out: Out,
    screen: Option<Screen>,
    plain: Plain,
}

impl Player {
    /// The form for this output.
    pub(crate) fn new(out: Out) -> Self {
        Self { out, screen: out.is_drawable().then(|| Screen::new(out)), plain: Plain::default() }
    }

    /// Whether a state replaces the picture of the one before.
    pub(crate) fn draws(&self) -> bool {
        self.screen.is_some()
    }

    /// Shows a state of the past.
    pub(crate) fn show(&mut self, json: &str, run: &RunDoc, moment: Moment<'_>) -> Result<(), CliError> {
        match (&mut self.screen, self.out.form()) {
            (Some(screen), _) => screen.draw(&draw(run, moment, Screen::size(), self.out.palette())),
            (None, Form::Human) => self.plain.lines(run, moment.now).into_iter().try_for_each(|line| self.out.line(line)),
            (None, Form::Json) => self.out.line(json),
        }
    }
}
