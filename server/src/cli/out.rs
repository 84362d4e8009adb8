//! The only place that writes to standard output and standard error.
//!
//! Invariants: a closed pipe ends the command quietly; escapes only where a terminal reads and the user did not forbid them.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use super::error::{CliError, Exit};
use super::text;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As the terminal does.
    Plain,
    /// Names and headings.
    Strong,
    /// What matters less.
    Faint,
    /// Ended well.
    Good,
    /// Running.
    Busy,
    /// To be noticed.
    Notice,
    /// Ended badly.
    Bad,
}

impl Style {
    fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Busy => "\x1b[36m",
            Self::Notice => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// Whether styles are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    /// By escapes.
    Colours,
    /// Not at all.
    Bare,
}

impl Palette {
    fn for_terminal(is_terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if is_terminal && !refused && !dumb { Self::Colours } else { Self::Bare }
    }

    /// The text in this style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        match (self, style) {
            (Self::Bare, _) | (Self::Colours, Style::Plain) => text.to_owned(),
            (Self::Colours, _) => format!("{}{text}\x1b[0m", style.escape()),
        }
    }
}

/// What somebody who calls the command can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text for people.
    Human,
    /// JSON lines for programs.
    Json,
}

impl Form {
    /// As the `--json` flag says.
    pub(crate) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }
}

/// Standard output and standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    form: Form,
    palette: Palette,
    errors: Palette,
}

impl Out {
    /// For a command of this form.
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            palette: Palette::for_terminal(io::stdout().is_terminal()),
            errors: Palette::for_terminal(io::stderr().is_terminal()),
        }
    }

    /// The form of this command's output.
    pub(crate) fn form(self) -> Form {
        self.form
    }

    /// Whether a person looks at a terminal that can be drawn on.
    pub(crate) fn is_drawable(self) -> bool {
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        self.form == Form::Human && io::stdout().is_terminal() && !dumb
    }

    /// The styles of standard output.
    pub(crate) fn palette(self) -> Palette {
        self.palette
    }

    /// Prints a line; everything from outside in it must be clean.
    pub(crate) fn line(self, text: impl Display) -> Result<(), CliError> {
        self.raw(&format!("{}\n", text::escaped(&text.to_string())))
    }

    /// Prints a line for people; nothing with `--json`.
    pub(crate) fn say(self, text: impl Display) -> Result<(), CliError> {
        match self.form {
            Form::Human => self.line(text),
            Form::Json => Ok(()),
        }
    }

    /// Prints as it is.
    pub(crate) fn raw(self, text: &str) -> Result<(), CliError> {
        self.bytes(text.as_bytes())
    }

    #[expect(clippy::unused_self, reason = "only who holds the writer may write")]
    fn bytes(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => {
                CliError::new(Exit::OutputClosed, "output_closed", "nobody reads the output any more", "")
            }
            // Any other kind is a disk or device that does not take it.
            _ => {
                CliError::failed("output_failed", format!("failed to write the output: {error}"), "Check where the output goes.")
            }
        })
    }

    /// Prints a notice beside the output.
    pub(crate) fn notice(self, text: impl Display) {
        // There is nobody left to tell if standard error is closed.
        let _ = writeln!(io::stderr(), "{}", self.errors.paint(Style::Notice, &format!("{text}")));
    }

    /// Prints lines beside the output.
    pub(crate) fn aside(self, lines: impl FnOnce(Palette) -> Vec<String>) {
        let mut stderr = io::stderr();
        for line in lines(self.errors) {
            // There is nobody left to tell if standard error is closed.
            let _ = writeln!(stderr, "{}", text::escaped(&line));
        }
    }

    /// Prints an error: `error[code]: message` and what to do, or JSON.
    pub(crate) fn error(self, error: &CliError) {
        if error.exit == Exit::OutputClosed {
            return;
        }
        let text = match self.form {
            Form::Json => text::escaped(&error.to_json().to_string()).into_owned(),
            Form::Human => human(error, self.errors),
        };
        // There is nobody left to tell if standard error is closed.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn human(error: &CliError, palette: Palette) -> String {
    let label = palette.paint(Style::Bad, &format!("error[{}]", text::clean(&error.code)));
    let mut out = format!("{label}: {}", text::clean_lines(&error.message).join("\n  "));
    if let Some(details) = &error.details {
        for line in text::clean_lines(details) {
            out.push_str("\n  ");
            out.push_str(&line);
        }
    }
    if !error.hint.is_empty() {
        out.push('\n');
        out.push_str(&palette.paint(Style::Strong, "hint"));
        out.push_str(": ");
        out.push_str(&text::clean(&error.hint));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_one_format() {
        let error = CliError::usage("bad\x1b[1m", "a\nb\x1b]0;x\x07", "do c").with_details(Some("d".into()));
        assert_eq!(human(&error, Palette::Bare), "error[bad[1m]: a\n  b]0;x\n  d\nhint: do c");
        assert_eq!(error.to_json()["hint"], "do c");
    }
}
