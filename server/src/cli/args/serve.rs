//! `serve` and `config`: how a server is set up.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DataDir;

/// `comfyd serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    /// The address to listen on [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Read the token from this file [default: $COMFYD_TOKEN, else made on first start and kept in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The ComfyUI for runs that name none, such as http://127.0.0.1:8188
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A host that requests may name as their ComfyUI, beside loopback; repeatable
    #[arg(long = "url-host", value_name = "HOST")]
    pub(crate) url_hosts: Vec<String>,
    /// Answer to this name too, as a reverse proxy or another machine uses it: NAME or NAME:PORT; repeatable
    #[arg(long = "allowed-host", value_name = "HOST")]
    pub(crate) allowed_hosts: Vec<String>,
    /// The address of a reverse proxy in front, such as https://comfy.example
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// A page of this origin may call the API with the token, such as https://app.example; repeatable
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    pub(crate) cors_origins: Vec<String>,
    /// A folder whose files requests may name [default: your home while listening on loopback, else none]; repeatable
    #[arg(long = "input-root", value_name = "DIR")]
    pub(crate) input_roots: Vec<PathBuf>,
    /// A folder that copies of outputs may go to, with the same default; repeatable
    #[arg(long = "output-root", value_name = "DIR")]
    pub(crate) output_roots: Vec<PathBuf>,
    /// Refuse new runs below this much free disk space, in MiB
    #[arg(long, value_name = "MIB", hide = true)]
    pub(crate) min_free_mib: Option<u32>,
    /// How log lines look: human or json; RUST_LOG chooses which
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// Which configuration file to read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConfigFile {
    /// The configuration [default: $XDG_CONFIG_HOME/comfyd/comfyd.yaml, if it is there]
    #[arg(long = "config", value_name = "FILE", env = "COMFYD_CONFIG")]
    pub(crate) file: Option<PathBuf>,
}

/// `comfyd config`
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Tell what is wrong with a configuration; exit code 2 if something is
    Check(CheckConfig),
    /// Print the values in force, each with where it was said
    Show(ConfigFile),
    /// Print a file with every key, its meaning and its default
    Default,
}

/// `comfyd config check`
#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// The file [default: $COMFYD_CONFIG, else $XDG_CONFIG_HOME/comfyd/comfyd.yaml]
    #[arg(value_name = "FILE", env = "COMFYD_CONFIG")]
    pub(crate) file: Option<PathBuf>,
    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
