//! `comfyd`: runs ComfyUI workflows and shows how far they are.

use std::process::ExitCode;

fn main() -> ExitCode {
    comfyd_server::cli::main()
}
