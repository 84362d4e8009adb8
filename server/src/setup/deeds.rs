//! What the steps do on the machine.

use bytes::Bytes;
use comfyd_engine::PlannedStep;

use super::actions::{RUN_COMMAND, UPLOAD_FILE};
use crate::problem::Problem;

/// The longest command, and the longest text that is uploaded.
const MAX_COMMAND: usize = 64 * 1024;
const MAX_TEXT: usize = 1024 * 1024;
/// Where ComfyUI lies on rented machines, unless the step says otherwise.
const UI_HOME: &str = "/workspace/ComfyUI";

/// Reads a folder and keeps it for the shells of the machine.
const SET_UI_HOME: &str = r#"read -r home
[ -d "$home" ] || { echo "there is no folder $home" >&2; exit 2; }
file="$HOME/.bashrc"
touch "$file" && { grep -v "^export UI_HOME=" "$file"; echo "export UI_HOME=$home"; } > "$file.comfyd" && cat "$file.comfyd" > "$file" && rm "$file.comfyd" && echo "UI_HOME=$home""#;
const GET_UI_HOME: &str = r#"sed -n "s/^export UI_HOME=/UI_HOME=/p" "$HOME/.bashrc" | tail -n 1 | grep . || { echo "UI_HOME is not set" >&2; exit 1; }"#;

/// Something to be done on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A command for `/bin/sh`, and what it is told.
    Run {
        command: String,
        stdin: Bytes,
        /// Whether it may be done again without asking anybody.
        repeatable: bool,
    },
    /// A file.
    Upload { to: String, text: Bytes },
}

impl Deed {
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Run { repeatable, .. } => *repeatable,
            Self::Upload { .. } => true,
        }
    }
}

/// What a step does; none if only its user knows how it is done.
pub(crate) fn deed_of(plan: &PlannedStep) -> Result<Option<Deed>, Problem> {
    let command = text(plan, "command", MAX_COMMAND)?;
    let ours = |command: &str, stdin: String| Deed::Run { command: command.to_owned(), stdin: stdin.into(), repeatable: true };
    if plan.action == UPLOAD_FILE {
        let to =
            text(plan, "to", 4096)?.filter(|to| to.starts_with('/') && !to.ends_with('/') && !to.chars().any(char::is_control));
        let to = to.ok_or_else(|| bad("to", "Give the whole path of the file on the machine."))?;
        let text = text(plan, "text", MAX_TEXT)?.ok_or_else(|| bad("text", "Give what the file shall hold."))?;
        return Ok(Some(Deed::Upload { to, text: text.into() }));
    }
    if let Some(command) = command {
        return Ok(Some(Deed::Run { command, stdin: Bytes::new(), repeatable: false }));
    }
    Ok(match plan.action.as_str() {
        RUN_COMMAND => return Err(bad("command", "Give the command as one text for /bin/sh.")),
        "test_ssh" => Some(ours("uname -sn", String::new())),
        "set_ui_home" => {
            let home = text(plan, "path", 4096)?.unwrap_or_else(|| UI_HOME.to_owned());
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            if !home.starts_with('/') || !home.chars().all(is_plain) {
                return Err(bad("path", "Give the whole path of a folder, of letters, digits and `/._-`."));
            }
            Some(ours(SET_UI_HOME, format!("{home}\n")))
        }
        "get_ui_home" => Some(ours(GET_UI_HOME, String::new())),
        "setup_civitdl" => Some(ours("python3 -m pip install --upgrade civitdl", String::new())),
        "test_civitdl" => Some(ours("command -v civitdl", String::new())),
        // How these are done differs from machine to machine.
        _ => None,
    })
}

/// A field that is a text, if it is given.
fn text(plan: &PlannedStep, name: &str, most: usize) -> Result<Option<String>, Problem> {
    let Some(raw) = plan.fields.get(name).filter(|raw| *raw != "null") else { return Ok(None) };
    let text =
        serde_json::from_str::<String>(raw).ok().filter(|text| !text.is_empty() && text.len() <= most && !text.contains('\0'));
    text.map(Some).ok_or_else(|| bad(name, &format!("Give a text of 1 to {most} bytes.")))
}

fn bad(name: &str, hint: &str) -> Problem {
    Problem::invalid("bad_field", format!("field `{name}` is missing or cannot be that"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(action: &str, fields: &[(&str, &str)]) -> Result<Option<Deed>, String> {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let plan = PlannedStep { action: action.into(), label: String::new(), enabled: true, fields };
        deed_of(&plan).map_err(|problem| problem.message)
    }

    #[test]
    fn a_command_of_the_user_is_never_repeated_unasked() {
        let own = Deed::Run { command: "make".into(), stdin: Bytes::new(), repeatable: false };
        for action in [RUN_COMMAND, "install_custom_nodes", "test_ssh"] {
            assert_eq!(deed(action, &[("command", "\"make\"")]), Ok(Some(own.clone())));
        }
        assert!(deed("test_ssh", &[]).is_ok_and(|deed| deed.is_some_and(|deed| deed.is_repeatable())));
        assert_eq!(deed("reboot_instance", &[]), Ok(None));
    }

    #[test]
    fn wrong_fields_are_named() {
        let rows = [
            (RUN_COMMAND, vec![], "command"),
            (RUN_COMMAND, vec![("command", "7")], "command"),
            (RUN_COMMAND, vec![("command", "\"\"")], "command"),
            (RUN_COMMAND, vec![("command", "\"a\\u0000b\"")], "command"),
            ("set_ui_home", vec![("path", "\"/a b\"")], "path"),
            ("set_ui_home", vec![("path", "\"$(reboot)\"")], "path"),
            (UPLOAD_FILE, vec![("text", "\"x\"")], "to"),
            (UPLOAD_FILE, vec![("to", "\"relative\""), ("text", "\"x\"")], "to"),
        ];
        for (action, fields, word) in rows {
            assert!(deed(action, &fields).is_err_and(|message| message.contains(word)), "{action} {fields:?}");
        }
    }
}
