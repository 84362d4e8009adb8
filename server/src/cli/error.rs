//! Why a command did not do what was asked, and how it ends.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

/// How a command ends; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; of a run: completed.
    Completed,
    /// It did not work.
    Failed,
    /// The request was wrong: arguments, workflow, token.
    Usage,
    /// The run was cancelled.
    Cancelled,
    /// ComfyUI or comfyd could not be reached.
    Unreachable,
    /// The user stopped following.
    Detached,
    /// Nobody reads our output any more, as if by SIGPIPE.
    OutputClosed,
}

impl Exit {
    /// The number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Completed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Cancelled => 3,
            Self::Unreachable => 4,
            Self::Detached => 130,
            Self::OutputClosed => 141,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// An error for the person or program that called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CliError {
    /// How the command ends.
    pub(crate) exit: Exit,
    /// A stable name in `snake_case`.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do; may be empty.
    pub(crate) hint: String,
    /// Everything else that is known.
    pub(crate) details: Option<String>,
}

impl CliError {
    /// An error that ends the command with this exit code.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into(), hint: hint.into(), details: None }
    }

    /// The request was wrong.
    pub(crate) fn usage(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message, hint)
    }

    /// It did not work.
    pub(crate) fn failed(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message, hint)
    }

    /// A file that the user named cannot be read.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let code = if error.kind() == std::io::ErrorKind::NotFound { "file_not_found" } else { "file_unreadable" };
        Self::usage(code, format!("failed to read {}: {error}", path.display()), "Check the path and its permissions.")
    }

    /// A file cannot be written.
    pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Self {
        let message = format!("failed to write {}: {error}", path.display());
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Self::usage("file_exists", message, "A file that exists is never overwritten: name another.");
        }
        Self::failed("file_unwritable", message, "Check the path, its permissions and the free space.")
    }

    /// The program's own contradiction or the system's.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::failed("internal", message, "Try again; if it stays, report it with the output of RUST_LOG=debug.")
    }

    /// The same with details.
    pub(crate) fn with_details(self, details: Option<String>) -> Self {
        Self { details, ..self }
    }

    /// The error for programs, in the shape of the API.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut error = json!({"success": false, "code": self.code, "message": self.message, "hint": self.hint});
        if let Some(details) = &self.details {
            error["details"] = json!(details);
        }
        error
    }
}
