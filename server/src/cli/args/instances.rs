//! `comfyd instances`.

use clap::{Args, Subcommand};

use super::Door;

/// `comfyd instances`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Instances {
    #[command(subcommand)]
    pub(crate) action: Option<InstanceAction>,
    #[command(flatten)]
    pub(crate) list: ListInstances,
}

/// What to do with instances.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceAction {
    /// List the instances
    List(ListInstances),
    /// Add an instance
    Add(AddInstance),
    /// Go the way to an instance or an address step by step
    ///
    /// Exit code: 0 runs can go there, 1 something is wrong with the ComfyUI there, 4 no ComfyUI is reached.
    Test(TestInstance),
    /// Change an instance; its address only while none of its runs is open
    Edit(EditInstance),
    /// Accept the host key of an instance's machine, after its fingerprint was compared
    Trust(TrustInstance),
    /// Give the passphrase of the private key, or the password, of an instance's machine
    ///
    /// It is read from the terminal, or from the first line of the standard input. The server keeps it in memory until it ends.
    Unlock(UnlockInstance),
    /// Remove an instance; its runs stay in history
    Rm(RemoveInstance),
}

/// `comfyd instances list`
#[derive(Debug, Args)]
pub(crate) struct ListInstances {
    /// Print one JSON object per instance
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd instances add`
#[derive(Debug, Args)]
pub(crate) struct AddInstance {
    /// Its name, which `run --instance` takes: a-z 0-9 . _ -
    pub(crate) name: String,
    /// Its address, such as http://127.0.0.1:8188
    #[arg(long, value_name = "URL", required_unless_present = "ssh", conflicts_with = "ssh")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) ssh: OverSsh,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Runs that name no instance go there
    #[arg(long)]
    pub(crate) default: bool,
    /// Print the instance as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd instances test`
#[derive(Debug, Args)]
pub(crate) struct TestInstance {
    /// An instance's name, an address such as http://127.0.0.1:8188, or a connection such as "ssh -p 40738 root@198.51.100.7"
    #[arg(value_name = "NAME|URL|SSH")]
    pub(crate) target: String,
    /// ComfyUI's port on a machine that is reached over SSH
    #[arg(long, value_name = "PORT")]
    pub(crate) comfyui_port: Option<u16>,
    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd instances edit`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["url", "ssh", "label", "default", "no_default"])))]
pub(crate) struct EditInstance {
    /// Its name
    pub(crate) name: String,
    /// Its new address
    #[arg(long, value_name = "URL", conflicts_with = "ssh")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) ssh: OverSsh,
    /// What people call it; empty for nothing
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Runs that name no instance go there
    #[arg(long, conflicts_with = "no_default")]
    pub(crate) default: bool,
    /// Runs that name no instance go there no longer
    #[arg(long)]
    pub(crate) no_default: bool,
    /// Print the instance as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// How an instance is reached over SSH.
#[derive(Debug, Args)]
pub(crate) struct OverSsh {
    /// How its machine is reached, as rental sites print it: "ssh -p 40738 root@198.51.100.7"
    #[arg(long, value_name = "CONNECTION")]
    pub(crate) ssh: Option<String>,
    /// ComfyUI's port on that machine [default: 18188, or comfyui_workflow.default_port]
    #[arg(long, value_name = "PORT", requires = "ssh")]
    pub(crate) comfyui_port: Option<u16>,
    /// The file of the private key on the server's machine, where the connection has no -i
    #[arg(long, value_name = "FILE", requires = "ssh")]
    pub(crate) identity: Option<String>,
    /// ComfyUI's output folder on that machine, where it cannot be found out
    #[arg(long, value_name = "DIR", requires = "ssh")]
    pub(crate) output_dir: Option<String>,
}

/// `comfyd instances trust`
#[derive(Debug, Args)]
pub(crate) struct TrustInstance {
    /// Its name
    pub(crate) name: String,
    /// Accept exactly this key without asking: SHA256:...
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,
    /// Accept it also where the machine had another key before
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print the instance as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd instances unlock`
#[derive(Debug, Args)]
pub(crate) struct UnlockInstance {
    /// Its name
    pub(crate) name: String,
    /// It is the user's password, not the passphrase of the private key
    #[arg(long)]
    pub(crate) password: bool,
    /// Print the instance as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd instances rm`
#[derive(Debug, Args)]
pub(crate) struct RemoveInstance {
    /// Its name
    pub(crate) name: String,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

impl Instances {
    /// Whether errors are to be printed as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.action {
            None => self.list.json,
            Some(InstanceAction::List(list)) => list.json,
            Some(InstanceAction::Add(add)) => add.json,
            Some(InstanceAction::Test(test)) => test.json,
            Some(InstanceAction::Edit(edit)) => edit.json,
            Some(InstanceAction::Trust(trust)) => trust.json,
            Some(InstanceAction::Unlock(unlock)) => unlock.json,
            Some(InstanceAction::Rm(remove)) => remove.json,
        }
    }
}
