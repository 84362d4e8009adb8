//! Where outputs come from: SFTP where the folder is known, else `/view`.

use std::time::Duration;

use comfyd_fixtures::{Folder, ViewFault};

use crate::support::World;

/// How often ComfyUI was asked for a file.
fn views(world: &World) -> u32 {
    world.fake.fake().ledger().requests.get("GET /view").copied().unwrap_or_default()
}

#[tokio::test]
async fn outputs_come_by_sftp_where_the_folder_is_known_and_else_by_view() {
    let world = World::trusted(&[], 50.0).await;
    let by_view = world.completed(world.first).await;
    let stored = by_view.outputs.iter().find(|output| output.folder == "output" && output.downloaded).expect("a file");
    let bytes = world.fake.fake().file(Folder::Output, &stored.subfolder, &stored.filename).expect("it has it");
    assert_eq!(stored.size, Some(bytes.len() as u64), "it came as ComfyUI sends it");

    // No file gets through this ComfyUI any more; only its first byte, which tells how long it is.
    world.knows_outputs().await;
    world.fake.fake().tune(|knobs| knobs.every_view = ViewFault::CutAfter(1));
    let instance = world.instance_of(world.first).await;
    let run = world.run_on(&instance).await;
    let view = world.completed(run).await;
    let read = view.outputs.iter().find(|output| output.folder == "output" && output.downloaded).expect("a file");
    let kept = std::fs::read(world.running.app.output(run, read.n).await.expect("it is stored").path).expect("it is there");
    assert_eq!(Some(kept), world.fake.fake().file(Folder::Output, &read.subfolder, &read.filename).map(|it| it.to_vec()));

    // A file of the same name that is not this server's: other bytes lie in the folder that somebody named.
    world.fake.fake().tune(|knobs| knobs.every_view = ViewFault::None);
    let other = world.dir.path().join("other");
    std::fs::create_dir_all(other.join(&stored.subfolder)).expect("a folder");
    let (prefix, _) = stored.filename.split_once("_000").expect("a number");
    for n in 0..20 {
        std::fs::write(other.join(&stored.subfolder).join(format!("{prefix}_{n:05}_.png")), "not yours").expect("written");
    }
    world.outputs_in(&other).await;
    let before = views(&world);
    let run = world.run_on(&instance).await;
    let view = world.completed(run).await;
    let sent = view.outputs.iter().find(|output| output.folder == "output" && output.downloaded).expect("a file");
    assert_eq!(sent.size, stored.size);
    assert!(views(&world) > before);
    for run in [world.first, run] {
        assert_eq!(world.posts_of(run), 1);
    }
    world.ends().await;
}

/// What happens to the machine in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
    TransferAlone,
}

/// How large the output is that is cut in the middle.
const LARGE: usize = 24 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_output_that_is_cut_in_the_middle_goes_on_where_it_ended() {
    for fault in [Fault::Killed, Fault::Frozen, Fault::TransferAlone] {
        let world = World::wired(&["Subsystem sftp /usr/lib/openssh/sftp-server"], 1.0).await;
        world.completed(world.first).await;
        world.knows_outputs().await;
        let instance = world.instance_of(world.first).await;
        let report = world.running.app.test_instance(&instance).await.expect("a verdict");
        assert!(report.ok, "{:?}", report.steps);
        // While its length is asked for, the output becomes a large one.
        let (fake, before) = (world.fake.fake(), views(&world));
        fake.tune(|knobs| knobs.every_view = ViewFault::Delay(Duration::from_secs(3)));
        let run = world.run("01_simple_save").await;
        world.wait_for("asked for its output", || views(&world) > before).await;
        let bytes: Vec<u8> = (0..LARGE).map(|n| u8::try_from(n % 251).expect("small")).collect();
        fake.put_file(Folder::Output, "comfyd", "simple_00001_.png", bytes.clone());
        fake.tune(|knobs| knobs.every_view = ViewFault::None);
        // Everything else of this run is small.
        let before = world.wire().came();
        world.wire().silence_after(LARGE as u64 / 2);
        world.wait_for("in the middle", || world.wire().is_silent()).await;
        let logins = world.logins();
        match fault {
            Fault::Killed => world.sshd.kill_sessions(),
            Fault::Frozen => world.sshd.freeze_sessions(),
            Fault::TransferAlone => world.sshd.kill_transfers(),
        }
        world.wire().open();
        let view = world.completed(run).await;
        assert_eq!(world.logins() > logins, fault != Fault::TransferAlone, "{fault:?}");
        let output = view.outputs.iter().find(|output| output.downloaded).expect("a file");
        assert_eq!(output.size, Some(LARGE as u64));
        let kept = world.running.app.output(run, output.n).await.expect("it is stored");
        assert!(std::fs::read(kept.path).expect("it is there") == bytes, "it is the same to the last byte");
        let came = world.wire().came() - before;
        assert!(came < (LARGE + LARGE / 4) as u64, "{came} bytes came for {LARGE}: it began anew");
        assert_eq!(world.posts_of(run), 1);
        world.ends().await;
    }
}
