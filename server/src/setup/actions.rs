//! The actions that a step may name.

/// Runs a ComfyUI workflow.
pub(crate) const EXECUTE: &str = "execute_comfyui_workflow";
/// Asks whether ComfyUI answers.
pub(crate) const TEST_COMFYUI: &str = "test_comfyui";
/// Lets time pass.
pub(crate) const WAIT: &str = "wait";

/// Runs a command on the machine.
pub(crate) const RUN_COMMAND: &str = "run_command";
/// Puts a file on the machine.
pub(crate) const UPLOAD_FILE: &str = "upload_file";

/// Something that a step can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// The name in requests.
    pub(crate) name: &'static str,
    /// What people read, unless the request says otherwise.
    pub(crate) label: &'static str,
}

const fn action(name: &'static str, label: &'static str) -> Action {
    Action { name, label }
}

/// Every action that is known. All but the first three work on the machine itself.
pub(crate) const ACTIONS: &[Action] = &[
    action(EXECUTE, "Execute ComfyUI Workflow"),
    action(TEST_COMFYUI, "Test ComfyUI"),
    action(WAIT, "Wait"),
    action(RUN_COMMAND, "Run a Command"),
    action(UPLOAD_FILE, "Upload a File"),
    action("test_ssh", "Test SSH Connection"),
    action("set_ui_home", "Set UI_HOME"),
    action("get_ui_home", "Read UI_HOME"),
    action("setup_civitdl", "Install CivitDL"),
    action("test_civitdl", "Test CivitDL"),
    action("sync_instance", "Sync Instance"),
    action("setup_python_venv", "Set Up Python Environment"),
    action("clone_auto_installer", "Clone Auto-installer"),
    action("install_custom_nodes", "Install Custom Nodes"),
    action("verify_dependencies", "Verify Dependencies"),
    action("reboot_instance", "Reboot Instance"),
];

impl Action {
    /// The action of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ACTIONS.iter().find(|action| action.name == name).copied()
    }
}
