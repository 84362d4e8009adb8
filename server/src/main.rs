//! `comfyd`: runs ComfyUI workflows and shows how far they are.

use std::process::ExitCode;

/// Many small pieces of JSON come and go: a sixth more runs a second than with the system's (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    comfyd_server::cli::main()
}
