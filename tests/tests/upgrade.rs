//! Data directories that earlier versions wrote: they open, show what they hold, and go on.
//!
//! `golden/data-<commit>/` was written by the program of that commit and never changes: a text, two pictures that were stored, a node that
//! failed, a run that was cancelled, and one in the middle when the process was killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::digest::sha256;
use comfyd_engine::{RunId, RunView, Seq};
use comfyd_fixtures::FakeConfig;
use comfyd_server::app::{Filter, Readiness};
use comfyd_server::store::{Disk, DiskFile, JournalVerdict, SimDisk, StreamVerdict};
use comfyd_server::testing::DATA;
use comfyd_tests::world::{World, comparable, in_simulation};

const PATIENCE: Duration = Duration::from_mins(30);

fn golden() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir).expect("golden/").map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("data-")));
    found.sort();
    found
}

/// Copies a directory to a simulated disk.
fn copy(from: &Path, disk: &Arc<dyn Disk>, to: &Path) {
    disk.create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, disk, &to);
        } else {
            let mut file: Box<dyn DiskFile> = disk.create_new(&to).expect("created");
            file.append(&std::fs::read(&path).expect("read")).expect("written");
            file.sync().expect("synced");
        }
    }
    disk.sync_dir(to).expect("synced");
}

fn world(from: &Path) -> World {
    let mut world = World::new(11, FakeConfig::default());
    world.disk = SimDisk::new(11);
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    copy(from, &disk, Path::new(DATA));
    world
}

async fn named(world: &World, name: &str) -> RunView {
    let filter = Filter { name: Some(name.to_owned()), limit: 2, ..Filter::default() };
    let runs = world.server().app.list(&filter).runs;
    assert_eq!(runs.len(), 1, "one run is called {name}");
    world.server().app.view(runs[0].run_id).await.expect("a run of the list can be read")
}

fn is_stored(world: &World, view: &RunView, outputs: usize) {
    assert_eq!(view.outputs.iter().filter(|output| output.downloaded && output.local_name.is_some()).count(), outputs);
    for output in view.outputs.iter().filter(|output| output.local_name.is_some()) {
        let name = output.local_name.as_ref().expect("looked at");
        let path = Path::new(DATA).join("runs").join(view.run_id.to_string()).join("outputs").join(name);
        let bytes = world.disk.read(&path, u64::MAX).expect("a stored output is there");
        assert_eq!(output.sha256, Some(sha256(&bytes)), "{name}");
    }
}

async fn opens(from: &Path) {
    let mut world = world(from);
    world.start().await;
    let found = &world.server().recovered;
    assert_eq!(found.journal, JournalVerdict::Clean);
    for stream in &found.streams {
        assert!(matches!(stream.verdict, StreamVerdict::Ok | StreamVerdict::Repaired(_)), "{stream:?}");
    }
    assert_eq!(world.server().app.readiness(), Readiness::Ready);
    let text = named(&world, "a text").await;
    assert_eq!((text.status.as_str(), text.progress.progress_percent.0), ("completed", 1000));
    assert!(text.outputs.iter().any(|output| output.text.is_some()));
    let pictures = named(&world, "two pictures").await;
    assert_eq!(pictures.status.as_str(), "completed");
    is_stored(&world, &pictures, 1);
    let failed = named(&world, "fails midway").await;
    assert_eq!((failed.status.as_str(), failed.error.as_ref().map(|error| error.code.as_str())), ("failed", Some("node_failed")));
    is_stored(&world, &failed, 1);
    let stopped = named(&world, "stopped").await;
    assert_eq!(stopped.status.as_str(), "cancelled");
    // Every prefix of every log folds.
    for view in [&text, &pictures, &failed, &stopped] {
        for seq in 1..=view.seq.0 {
            let past = world.server().app.view_at(view.run_id, Seq(seq)).await.expect("every place can be shown");
            assert_eq!(past.seq, Seq(seq));
        }
    }
    // The instance that answers now knows nothing of the run that was in the middle.
    let middle = named(&world, "in the middle").await;
    let in_doubt = |view: &RunView| view.attention.as_ref().is_some_and(|attention| attention.kind == "submit_unknown");
    world.wait(middle.run_id, PATIENCE, in_doubt).await;
    world.server().app.resubmit(middle.run_id).await.expect("its user decides");
    // It was posted again, so it is over once no second copy is looked for any more.
    let ended = world.wait(middle.run_id, PATIENCE, |view| view.status.is_settled() && !view.twin_watch).await;
    assert_eq!(ended.status.as_str(), "completed", "{:?}", ended.error);
    // What was kept is enough to run it again.
    let again = world.server().app.retry(pictures.run_id).await.expect("a run of the past can be repeated");
    let again = world.wait(again.run_id, PATIENCE, |view| view.status.is_settled()).await;
    assert_eq!((again.status.as_str(), again.retry_of), ("completed", Some(pictures.run_id)));
    is_stored(&world, &again, 1);
    world.shut_down().await;
    // A second start finds the same, and by its index.
    world.start().await;
    for view in [text, pictures, failed, stopped, ended, again] {
        let after = world.server().app.view(view.run_id).await.expect("still there");
        assert_eq!(comparable(&after), comparable(&view));
    }
    let listed: Vec<RunId> =
        world.server().app.list(&Filter { limit: 100, ..Filter::default() }).runs.into_iter().map(|run| run.run_id).collect();
    assert_eq!(listed.len(), 6);
    let known = world.server().recovered.streams.iter().filter(|stream| stream.over.is_some()).count();
    assert_eq!(known, 6, "all of them are over");
    world.shut_down().await;
}

#[test]
fn directories_of_earlier_versions_open_and_go_on() {
    let golden = golden();
    assert!(!golden.is_empty());
    for directory in golden {
        in_simulation(opens(&directory));
    }
}
