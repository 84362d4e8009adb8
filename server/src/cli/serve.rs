//! `comfyd serve`: the server in the foreground.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::args::{self, LogFormat};
use super::error::CliError;
use super::out::Out;
use super::signals::Signals;
use super::{access, handle};
use crate::server::{Running, ServeOptions, start};

/// `comfyd serve`
pub(crate) async fn serve(args: &args::Serve, out: Out) -> Result<(), CliError> {
    log_to_stderr(args.log_format, "info");
    let mut options = ServeOptions::new(access::directory(&args.data)?);
    options.listen = args.listen;
    options.token = access::given_token(args.token_file.as_deref())?;
    options.default_url.clone_from(&args.url);
    options.allowed_hosts.clone_from(&args.allowed_hosts);
    options.min_free = u64::from(args.min_free_mib) << 20;
    let given = options.token.is_some();
    // Before the start, so that a signal during a long recovery is not lost.
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        started = start(options) => started.map_err(|error| handle::cannot_start(&error))?,
        // Nothing has been promised to anybody yet.
        () = signals.next() => return Ok(()),
    };
    out.line(format!("comfyd listens. Open {}", way_in(args, &running, given)))?;
    tokio::select! {
        () = signals.next() => {}
        () = running.stopping() => {}
    }
    tracing::info!("server.stopping");
    tokio::select! {
        stopped = handle::stop(running) => stopped?,
        // Everything acknowledged is on disk, so a second signal may end it at once.
        () = signals.next() => {}
    }
    Ok(())
}

/// The page, and how to come by its token. A token that the user gave is theirs to type; one of ours is shown to a person only, as what is
/// written elsewhere stays in the system's journal for others to read.
fn way_in(args: &args::Serve, running: &Running, given: bool) -> String {
    if given {
        return running.url();
    }
    if std::io::stdout().is_terminal() {
        return running.page();
    }
    match &args.data.data_dir {
        Some(dir) => format!("{} (token: comfyd token --data-dir {})", running.url(), dir.display()),
        None => format!("{} (token: comfyd token)", running.url()),
    }
}

/// Log lines go to standard error; `RUST_LOG` chooses which.
pub(crate) fn log_to_stderr(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused; the first one stays.
    let _ = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}
