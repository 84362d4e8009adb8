//! What runs uploaded goes from the machine when they are over, and nothing else does.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use comfyd_engine::{Force, RunId, Seq};
use comfyd_fixtures::{Folder, Picture};
use comfyd_server::app::{Execute, Image, Images, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::World;

/// Loads a picture and takes a while. Its output is a preview, which comes by `/view`: only uploads are a matter of SFTP.
fn wish(seed: u64, steps: u32) -> Execute {
    let graph = json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "mine.png" } },
        "2": { "class_type": "SlowSteps", "inputs": {
            "steps": steps, "step_ms": 20, "seed": seed, "preview": "none", "fail_at": 0, "fail_kind": "RuntimeError", "width": 64, "height": 64,
        } },
        "3": { "class_type": "PreviewImage", "inputs": { "images": ["2", 0] } },
        "4": { "class_type": "PreviewImage", "inputs": { "images": ["1", 0] } },
    });
    let picture = Image::Bytes { name: "mine.png".into(), bytes: picture() };
    Execute { images: Images::InOrder(vec![picture]), ..Execute::new(Source::Inline { text: graph.to_string(), file: None }) }
}

fn picture() -> Bytes {
    Bytes::from(Picture::finished(32, 32, 7).png(&[]))
}

/// The names in ComfyUI's folder for inputs.
fn inputs(world: &World) -> BTreeSet<String> {
    let names = std::fs::read_dir(world.folder("input")).into_iter().flatten();
    names.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

/// What the log tells of what was uploaded: kinds, and what was removed and left at the end.
async fn told(world: &World, run: RunId) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut kinds, mut removed, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    for line in world.running.app.log(run, Seq(0)).await.expect("a log") {
        kinds.extend(Some(text(&line.event["kind"])).filter(|kind| kind.starts_with("inputs_")));
        let data = &line.event["data"];
        removed.extend(data["removed"].as_array().into_iter().flatten().map(text));
        left.extend(data["left"].as_array().into_iter().flatten().map(|left| text(&left["why"])));
    }
    (kinds, removed, left)
}

/// Waits until nothing is done for a run any more.
async fn over(world: &World, run: RunId) {
    world.completed(run).await;
    world.wait_for("over", || world.running.app.watch(run).is_none()).await;
}

/// A machine whose folders are known, and where no run is.
async fn quiet(world: World) -> World {
    over(&world, world.first).await;
    world.knows_outputs().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_there_while_it_is_used_and_gone_afterwards() {
    let world = quiet(World::trusted(&[], 1.0).await).await;
    world.fake.fake().put_file(Folder::Input, "", "theirs.png", picture());
    let run = world.execute(wish(1, 50)).await;
    world.until(run, "running", |view| view.phase == "running").await;
    let names = inputs(&world);
    let [ours, theirs] = &names.iter().map(String::as_str).collect::<Vec<_>>()[..] else { panic!("{names:?}") };
    assert!(ours.starts_with("comfyd_") && *theirs == "theirs.png", "{names:?}");
    let ours = (*ours).to_owned();
    over(&world, run).await;
    assert_eq!(inputs(&world), ["theirs.png".to_owned()].into());
    let (kinds, removed, left) = told(&world, run).await;
    assert_eq!(
        (&kinds[..], &removed[..], left.len()),
        (&["inputs_removal_intended".to_owned(), "inputs_removed".to_owned()][..], &[ours.clone()][..], 0)
    );

    // A file of somebody else with just this name: ComfyUI gives ours another one, and only that goes.
    world.fake.fake().put_file(Folder::Input, "", &ours, "another picture");
    let again = world.running.app.retry(run).await.expect("it is taken").run_id;
    over(&world, again).await;
    assert_eq!(inputs(&world), ["theirs.png".to_owned(), ours.clone()].into());
    let (_, removed, left) = told(&world, again).await;
    assert_eq!((removed.len(), left.len()), (1, 0), "{removed:?}");
    assert!(!removed.contains(&ours), "{removed:?}");

    // And one that takes the place of ours while the run lasts stays too.
    std::fs::remove_file(world.folder("input").join(&ours)).expect("it is there");
    let run = world.execute(wish(2, 50)).await;
    world.until(run, "running", |view| view.phase == "running").await;
    std::fs::write(world.folder("input").join(&ours), "somebody else's by now").expect("written");
    over(&world, run).await;
    assert!(inputs(&world).contains(&ours));
    assert_eq!(told(&world, run).await.2, ["it is not what was uploaded"]);

    // What is larger than any upload is not even read: that would take longer than anybody waits here.
    std::fs::remove_file(world.folder("input").join(&ours)).expect("it is there");
    let run = world.execute(wish(3, 50)).await;
    world.until(run, "running", |view| view.phase == "running").await;
    let huge = std::fs::File::create(world.folder("input").join(&ours)).expect("made");
    huge.set_len(15 << 30).expect("it has holes only");
    over(&world, run).await;
    assert_eq!(told(&world, run).await.2, ["it is not what was uploaded"]);
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runs_with_one_picture_the_last_removes_it() {
    let world = quiet(World::trusted(&[], 1.0).await).await;
    let first = world.execute(wish(1, 100)).await;
    let second = world.execute(wish(2, 100)).await;
    world.until(second, "in the queue behind the other", |view| view.phase == "pending").await;
    assert_eq!(inputs(&world).len(), 1, "it is one file");
    over(&world, first).await;
    assert_eq!(inputs(&world).len(), 1, "the other run uses it");
    assert_eq!(told(&world, first).await.0, Vec::<String>::new());
    over(&world, second).await;
    assert_eq!(inputs(&world), BTreeSet::new());
    for run in [first, second] {
        assert_eq!(world.posts_of(run), 1);
    }
    world.ends().await;
}

/// A machine whose file transfer waits for as long as a file is there.
async fn slow() -> (World, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let (flag, script) = (folder.path().join("wait"), folder.path().join("sftp"));
    std::fs::write(&flag, "").expect("written");
    let text = format!("while [ -e {} ]; do sleep 0.02; done; exec /usr/lib/openssh/sftp-server", flag.display());
    std::fs::write(&script, text).expect("written");
    let subsystem = format!("Subsystem sftp /bin/sh {}", script.display());
    (quiet(World::trusted(&[&subsystem], 1.0).await).await, folder)
}

/// A run that is over but for its upload, which is being removed.
async fn removing(world: &World) -> RunId {
    let run = world.execute(wish(1, 5)).await;
    world.completed(run).await;
    assert_eq!(inputs(world).len(), 1);
    assert_eq!(told(world, run).await.0, ["inputs_removal_intended"]);
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_it() {
    let (world, folder) = slow().await;
    let run = removing(&world).await;
    let world = world.restarted().await;
    std::fs::remove_file(folder.path().join("wait")).expect("it is there");
    over(&world, run).await;
    let (kinds, removed, left) = told(&world, run).await;
    assert_eq!(inputs(&world), BTreeSet::new(), "{kinds:?} {left:?}");
    assert_eq!((kinds.last().map(String::as_str), removed.len(), left.len()), (Some("inputs_removed"), 1, 0), "{kinds:?}");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_away_meanwhile() {
    let (mut world, folder) = slow().await;
    let run = removing(&world).await;
    world.sshd.down();
    world.wait_for("away", || world.running.app.instances().iter().any(|instance| instance.last_error.is_some())).await;
    std::fs::remove_file(folder.path().join("wait")).expect("it is there");
    world.sshd.up().expect("it comes up");
    over(&world, run).await;
    assert_eq!(inputs(&world), BTreeSet::new());
    let (kinds, removed, _) = told(&world, run).await;
    assert!(kinds.iter().any(|kind| kind == "inputs_removal_delayed") && removed.len() == 1, "{kinds:?}");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_cancelled_run_had_sent_goes_too() {
    let world = quiet(World::trusted(&[], 1.0).await).await;
    let ledger = || world.fake.fake().ledger();
    world.fake.fake().tune(|knobs| knobs.upload_delay = Duration::from_secs(3));
    let (taken, written) = (ledger().uploads_taken, ledger().uploads.len());
    let run = world.execute(wish(1, 5)).await;
    world.wait_for("sent", || ledger().uploads_taken > taken).await;
    world.running.app.cancel(run, Force::No).await.expect("it is cancelled");
    // Whoever sent it has left, and it is written all the same.
    world.wait_for("written", || ledger().uploads.len() > written).await;
    assert_eq!(inputs(&world).len(), 1);
    world.wait_for("over", || world.running.app.watch(run).is_none()).await;
    assert_eq!(inputs(&world), BTreeSet::new());
    let (kinds, removed, left) = told(&world, run).await;
    let expected = ["inputs_removal_intended", "inputs_removal_delayed", "inputs_removal_intended", "inputs_removed"];
    assert_eq!((kinds, removed.len(), left.len()), (expected.map(str::to_owned).to_vec(), 1, 0));
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_it() {
    let (mut world, folder) = slow().await;
    let run = removing(&world).await;
    world.sshd.down();
    // It waits for the machine, and keeps neither the run nor the instance from being removed.
    let instance = world.instance_of(run).await;
    let mut kinds = Vec::new();
    while !kinds.iter().any(|kind: &String| kind == "inputs_removal_delayed") {
        tokio::task::yield_now().await;
        kinds = told(&world, run).await.0;
    }
    world.running.app.delete(run).await.expect("it is over");
    world.running.app.remove_instance(&instance).await.expect("no run needs it");
    std::fs::remove_file(folder.path().join("wait")).expect("it is there");
    world.ends().await;
}
