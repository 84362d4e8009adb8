//! Log lines on standard error.
//!
//! Invariants: which lines are written can change at any time, how they look cannot; times are UTC. Absent: what is logged; values that are secret
//! have types that cannot be.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::LogFormat;

/// A hold on what is logged.
#[derive(Clone)]
pub(crate) struct Logging(reload::Handle<EnvFilter, Registry>);

/// Log lines go to standard error from here on; `RUST_LOG` chooses which, else `filter`.
pub(crate) fn to_stderr(format: LogFormat, filter: &str) -> Logging {
    let (chosen, handle) = reload::Layer::new(by_environment().unwrap_or_else(|| EnvFilter::new(filter)));
    let lines = match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
        LogFormat::Human => fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).boxed(),
    };
    // A second subscriber is refused; the first one stays.
    let _ = tracing_subscriber::registry().with(chosen).with(lines).try_init();
    Logging(handle)
}

impl Logging {
    /// Writes these lines from here on, unless `RUST_LOG` chose.
    pub(crate) fn choose(&self, filter: &str) {
        if by_environment().is_none()
            && let Err(error) = self.0.reload(EnvFilter::new(filter))
        {
            tracing::warn!(%error, "log.filter_not_changed");
        }
    }
}

fn by_environment() -> Option<EnvFilter> {
    EnvFilter::try_from_default_env().ok()
}
