//! `comfyd run --ssh`, from a machine that nobody knows to its outputs.

use std::collections::BTreeSet;
use std::path::Path;

use comfyd_fixtures::sshd::Sshd;

use crate::support::{Comfy, Place, text};

/// The sockets of a process that listen for TCP.
fn listening(pid: u32) -> usize {
    let inodes = |table: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.get(3) == Some(&"0A")).filter_map(|row| row.get(9).map(|inode| (*inode).to_owned())).collect()
    };
    let all: BTreeSet<String> = inodes("/proc/net/tcp").into_iter().chain(inodes("/proc/net/tcp6")).collect();
    let own = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let own = own.filter_map(|entry| std::fs::read_link(entry.path()).ok()?.to_str().map(str::to_owned));
    own.filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .filter(|inode| all.contains(inode))
        .count()
}

#[test]
fn a_run_from_zero_to_outputs_opens_no_port_but_comfyds_own() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let sshd = Sshd::start(&[]).expect("sshd");
    std::fs::create_dir_all(place.path(".ssh")).expect("a folder");
    std::fs::copy(sshd.key(), place.path(".ssh/id_ed25519")).expect("copied");
    let url = comfy.url();
    let port = url.rsplit_once(':').expect("a port").1;
    let flow = place.workflow("20_custom_slow_previews");
    let to = place.path("copies");
    let to = to.to_str().expect("a plain name");
    let fingerprint = sshd.fingerprint().expect("a fingerprint");
    let mut run = place.starts(&["run", &flow, "--ssh", &sshd.command(), "--comfyui-port", port, "--output-dir", to, "--json"]);
    let waits = run.until(&fingerprint);
    assert!(waits.contains("host_key_unknown"), "{waits}");
    let instance = text(&serde_json::from_str(&waits).expect("JSON"), "instance");
    place.ends(&["instances", "trust", &instance]).is(2).warns("not_confirmed").warns(&fingerprint);
    place.ends(&["instances", "trust", &instance, "--fingerprint", &fingerprint]).is(0).says("Trusted");
    run.until("\"executing\"");
    assert_eq!(listening(run.child.id()), 1, "comfyd's own port and no other");
    let ended = run.ends();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(Path::new(to).read_dir().expect("a folder").count() > 0);
    let done = place.only_run();
    assert_eq!(text(&done, "status"), "completed");
    assert_eq!(comfy.fake.ledger().prompt(&text(&done, "run_id")).posts, 1);
    place.ends(&["run", &flow, "--ssh", "ssh -A root@gpu"]).is(2).warns("ssh_option");
    let printed = format!("{} -L 8080:localhost:8080", sshd.command());
    place.ends(&["instances", "test", &printed, "--comfyui-port", port]).is(0).warns("8080:localhost:8080");
    place.ends(&["instances", "test", &sshd.command(), "--comfyui-port", port]).is(0).says("host_key").says("Runs can go to");
}
