//! The files of a data directory that the command line reads: where its server is, and its token.

use std::path::{Path, PathBuf};

use super::args::{ConfigFile, DataDir};
use super::error::CliError;

/// The default directory of this name under the user's data.
pub(crate) fn default_dir(name: &str) -> Result<PathBuf, CliError> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join(name)).ok_or_else(|| {
        CliError::usage("no_home", "neither XDG_DATA_HOME nor HOME names a directory", "Name one with --data-dir.")
    })
}

/// The data directory, absolute.
pub(crate) fn directory(asked: &DataDir) -> Result<PathBuf, CliError> {
    if let Some(dir) = &asked.data_dir {
        return absolute(dir);
    }
    // The server of the same user reads the same file.
    let configured = super::config::read(&ConfigFile { file: std::env::var_os("COMFYD_CONFIG").map(PathBuf::from) }, vec![])?;
    match configured.config.server.data_dir {
        Some(dir) => absolute(&dir),
        None => default_dir("comfyd"),
    }
}

/// The path from the root, so that a server elsewhere reads it alike.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::unreadable(path, &error))
}

/// Where the server of a data directory says that it listens.
pub(crate) fn announced(dir: &Path) -> Option<String> {
    let text = std::fs::read(dir.join("server.json")).ok()?;
    let said: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let address = said.get("address")?.as_str()?;
    // A server that listens on every address is reached by loopback.
    let parsed: std::net::SocketAddr = address.parse().ok()?;
    Some(match (parsed.ip().is_unspecified(), parsed.is_ipv6()) {
        (true, false) => format!("127.0.0.1:{}", parsed.port()),
        (true, true) => format!("[::1]:{}", parsed.port()),
        (false, _) => parsed.to_string(),
    })
}

/// The token that a data directory keeps.
pub(crate) fn kept_token(dir: &Path) -> Option<String> {
    read_token(&dir.join("token")).ok()
}

/// The token in a file.
pub(crate) fn read_token(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| CliError::unreadable(path, &error))?;
    let token = text.trim();
    if token.is_empty() {
        let message = format!("{} holds no token", path.display());
        return Err(CliError::usage("empty_token", message, "Write the token into it, as `comfyd token` prints it."));
    }
    Ok(token.to_owned())
}

/// The token that the user gave: by file, else by environment.
pub(crate) fn given_token(file: Option<&Path>) -> Result<Option<String>, CliError> {
    match file {
        Some(path) => read_token(path).map(Some),
        None => Ok(std::env::var("COMFYD_TOKEN").ok().filter(|token| !token.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_where_it_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let said = |text: &str| {
            std::fs::write(dir.path().join("server.json"), text).expect("written");
            announced(dir.path())
        };
        assert_eq!(said(r#"{"address":"127.0.0.1:80","pid":1}"#).as_deref(), Some("127.0.0.1:80"));
        assert_eq!(said(r#"{"address":"0.0.0.0:80"}"#).as_deref(), Some("127.0.0.1:80"));
        assert_eq!(said(r#"{"address":"[::]:80"}"#).as_deref(), Some("[::1]:80"));
        assert_eq!(said(r#"{"address":"example.org:80"}"#), None);
        assert_eq!(said("{"), None);
    }
}
