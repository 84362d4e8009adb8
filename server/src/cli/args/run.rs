//! `run`: a workflow, where it goes, and what of it is set.

use std::path::PathBuf;

use clap::Args;

use super::Door;

/// `comfyd run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The workflow: what ComfyUI saves or exports, or a picture, film or sound that it made; `-` reads standard input
    #[arg(value_name = "WORKFLOW.json", required_unless_present = "template")]
    pub(crate) workflow: Option<PathBuf>,
    /// Run this template instead of a file; `comfyd templates` lists them
    #[arg(long, value_name = "NAME", conflicts_with = "workflow")]
    pub(crate) template: Option<String>,
    /// The ComfyUI to run it on, such as http://127.0.0.1:8188 [env: COMFYD_URL=]
    #[arg(long, value_name = "URL", conflicts_with = "instance")]
    pub(crate) url: Option<String>,
    /// An instance that comfyd knows
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// The machine of a ComfyUI that is reached over SSH, as rental sites print it: "ssh -p 40738 root@198.51.100.7"
    #[arg(long, value_name = "CONNECTION", conflicts_with_all = ["instance", "url"])]
    pub(crate) ssh: Option<String>,
    /// ComfyUI's port on that machine [default: 18188, or comfyui_workflow.default_port]
    #[arg(long, value_name = "PORT", requires = "ssh")]
    pub(crate) comfyui_port: Option<u16>,
    /// Accept exactly this host key of that machine without asking: SHA256:...
    #[arg(long, value_name = "FINGERPRINT", requires = "ssh")]
    pub(crate) trust: Option<String>,
    /// Set an input of a node (by id or title) before it runs; repeatable
    #[arg(long = "set", value_name = "NODE.INPUT=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// Upload a picture for a loading node (all with NODE=, or none: then in order of the node ids); repeatable
    #[arg(long = "image", value_name = "[NODE=]FILE")]
    pub(crate) images: Vec<String>,
    /// Also copy the outputs to this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// The name to show [default: the file's, or the template's title]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Queue it also if the instance is known to refuse it: what that says of its nodes may be incomplete
    #[arg(long)]
    pub(crate) no_validate: bool,
    /// Do not follow the run
    #[arg(long)]
    pub(crate) detach: bool,
    /// Print one JSON object per change; the last one is the final state
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) door: Door,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// How long to wait for what does not answer.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Patience {
    /// Seconds without ever reaching the instance, or without comfyd, after which to give up with exit code 4
    #[arg(long = "give-up-after", value_name = "SECONDS", default_value_t = 60, hide = true)]
    pub(crate) seconds: u64,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let wrong = || "write NODE.INPUT=VALUE, such as 6.text=\"a cat\" or KSampler.steps=30".to_owned();
    let (target, value) = text.split_once('=').ok_or_else(wrong)?;
    let named = target.rsplit_once('.').is_some_and(|(node, input)| !node.is_empty() && !input.is_empty());
    if named { Ok((target.to_owned(), value.to_owned())) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::assignment;

    #[test]
    fn assignments() {
        let good =
            |text, node: &str, value: &str| assert_eq!(assignment(text), Ok((node.to_owned(), value.to_owned())), "{text}");
        good("6.text=a cat", "6.text", "a cat");
        good("6.text=", "6.text", "");
        good("My node.v1.seed=a=b", "My node.v1.seed", "a=b");
        for bad in ["6.text", "text=1", ".text=1", "6.=1", "=", ""] {
            assert!(assignment(bad).is_err(), "{bad}");
        }
    }
}
