//! Tests that mount file systems run again in a mount namespace of their own, so that nothing outside sees it.

use std::path::Path;
use std::process::Command;

/// Set in the inner run.
const INSIDE: &str = "COMFYD_TEST_INSIDE";

/// What the inner run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Mount file systems that live in memory: a user namespace is enough.
    Memory,
    /// Mount file systems of block devices: only root may.
    Devices,
}

/// Runs `test` in a namespace; `name` is the whole name of the calling test.
pub(crate) fn within(name: &str, rights: Rights, test: fn()) {
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == name) {
        return test();
    }
    let flags = match (rights, rustix::process::geteuid().is_root()) {
        (Rights::Memory | Rights::Devices, true) => "-m",
        (Rights::Memory, false) => "-Urm",
        (Rights::Devices, false) => return skipped(name, "only root may mount block devices"),
    };
    let possible = Command::new("unshare").args([flags, "true"]).output();
    match possible {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skipped(name, &format!("no namespaces: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => return skipped(name, &format!("no `unshare`: {error}")),
    }
    let this = std::env::current_exe().expect("a path");
    let inner = Command::new("unshare").arg(flags).arg(this).args(["--exact", name, "--nocapture"]).env(INSIDE, name).output();
    let output = inner.expect("it was there a moment ago");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "in the namespace:\n{told}");
    assert!(told.contains("1 passed"), "the inner run found no test {name}:\n{told}");
    if let Some(reason) = told.lines().find(|line| line.starts_with("SKIPPED")) {
        eprintln!("{reason}");
    }
}

/// Says why a test proved nothing.
pub(crate) fn skipped(name: &str, why: &str) {
    eprintln!("SKIPPED {name}: {why}");
}

/// Mounts something; its error if that fails.
pub(crate) fn mount(args: &[&str], at: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(args).arg(at).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// A file system that goes when it is dropped.
pub(crate) struct Mounted(std::path::PathBuf);

impl Mounted {
    /// Mounts it over a directory, which is made.
    pub(crate) fn new(args: &[&str], at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        mount(args, at).map(|()| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The namespace takes with it what stays.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
