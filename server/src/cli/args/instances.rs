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
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
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
    /// An instance's name, or an address such as http://127.0.0.1:8188
    #[arg(value_name = "NAME|URL")]
    pub(crate) target: String,
    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
}

/// `comfyd instances edit`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["url", "label", "default", "no_default"])))]
pub(crate) struct EditInstance {
    /// Its name
    pub(crate) name: String,
    /// Its new address
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
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
            Some(InstanceAction::Rm(remove)) => remove.json,
        }
    }
}
