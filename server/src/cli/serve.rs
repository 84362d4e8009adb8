//! `comfyd serve`: the server in the foreground.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::args;
use super::error::CliError;
use super::out::Out;
use super::reload::{FileWatch, Reloader};
use super::signals::{Signals, Wish};
use super::{access, config, handle, notify};
use crate::config::Origin;
use crate::logging;
use crate::server::{Running, start};

/// `comfyd serve`
pub(crate) async fn serve(args: &args::Serve, out: Out) -> Result<(), CliError> {
    let flags = flags(args);
    let loaded = config::read(&args.config, flags.clone())?;
    let config = &loaded.config;
    let logging = logging::to_stderr(config.server.log_format, &config.server.log);
    let token = access::given_token(config.server.token_file.as_deref())?;
    let directory = match &config.server.data_dir {
        Some(dir) => access::absolute(dir)?,
        None => access::default_dir("comfyd")?,
    };
    let options = config.serve_options(directory, token);
    // Other commands find the default by themselves.
    let named = (loaded.origin("server.data_dir") != Origin::Default).then(|| options.data_dir.clone());
    let given = options.token.is_some();
    // Before the start, so that a signal during a long recovery is not lost.
    let mut signals = Signals::listen()?;
    let mut reloader = Reloader::new(args.config.file.clone(), flags, loaded, options.clone(), logging);
    let mut watch = FileWatch::new(reloader.file().as_deref());
    let running = tokio::select! {
        started = start(options) => started.map_err(|error| handle::cannot_start(&error))?,
        // Nothing has been promised to anybody yet.
        () = signals.end() => return Ok(()),
    };
    out.line(format!("comfyd listens. Open {}", way_in(named.as_deref(), &running, given)))?;
    notify::tell(notify::READY);
    loop {
        tokio::select! {
            wish = signals.next_for_server() => match wish {
                Wish::End => break,
                Wish::ReadAgain => reloader.reload(&running).await,
            },
            () = watch.changed() => reloader.reload(&running).await,
            () = running.stopping() => break,
        }
    }
    notify::tell(notify::STOPPING);
    tracing::info!("server.stopping");
    tokio::select! {
        stopped = handle::stop(running) => stopped?,
        // Everything acknowledged is on disk, so a second signal may end it at once.
        () = signals.next() => return Ok(()),
    }
    tracing::info!("server.stopped");
    Ok(())
}

/// The page, and how to come by its token. A token that the user gave is theirs to type; one of ours is shown to a person only, as what is
/// written elsewhere stays in the system's journal for others to read.
fn way_in(data_dir: Option<&Path>, running: &Running, given: bool) -> String {
    if given {
        return running.url();
    }
    if std::io::stdout().is_terminal() {
        return running.page();
    }
    match data_dir {
        Some(dir) => format!("{} (token: comfyd token --data-dir {})", running.url(), dir.display()),
        None => format!("{} (token: comfyd token)", running.url()),
    }
}

/// What was typed, as keys of the configuration.
fn flags(args: &args::Serve) -> Vec<(&'static str, Value, String)> {
    let mut flags = Vec::new();
    let mut flag = |key, name: &str, value: Option<Value>| flags.extend(value.map(|value| (key, value, name.to_owned())));
    let path = |path: &PathBuf| Value::from(std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string());
    let paths = |list: &[PathBuf]| (!list.is_empty()).then(|| list.iter().map(path).collect());
    let texts = |list: &[String]| (!list.is_empty()).then(|| Value::from(list.to_vec()));
    let text = |text: &Option<String>| text.clone().map(Value::from);
    flag("server.data_dir", "--data-dir or COMFYD_DATA_DIR", args.data.data_dir.as_ref().map(path));
    flag("server.listen", "--listen", text(&args.listen));
    flag("server.token_file", "--token-file", args.token_file.as_ref().map(path));
    flag("server.default_url", "--url", text(&args.url));
    flag("server.url_hosts", "--url-host", texts(&args.url_hosts));
    flag("server.allowed_hosts", "--allowed-host", texts(&args.allowed_hosts));
    flag("server.public_url", "--public-url", text(&args.public_url));
    flag("server.cors_origins", "--cors-origin", texts(&args.cors_origins));
    flag("server.log_format", "--log-format", text(&args.log_format));
    flag("storage.input_roots", "--input-root", paths(&args.input_roots));
    flag("storage.output_roots", "--output-root", paths(&args.output_roots));
    flag("storage.min_free_mib", "--min-free-mib", args.min_free_mib.map(Value::from));
    flags
}
