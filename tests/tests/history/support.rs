//! A world with a past.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfyd_fixtures::FakeConfig;
use comfyd_server::app::{Filter, Summary};
use comfyd_server::store::{Disk, FileStore, Options, SimDisk};
use comfyd_server::testing::DATA;
use comfyd_tests::past;
use comfyd_tests::world::World;

/// Where the index is.
pub(crate) fn index() -> PathBuf {
    Path::new(DATA).join("index.log")
}

/// A disk with the runs `from..until`, as a server leaves them that never wrote an index.
pub(crate) async fn write(disk: &SimDisk, from: u64, until: u64) {
    let (store, _) = FileStore::inline(Path::new(DATA), Arc::new(disk.clone()), Options::default()).expect("opens");
    past::write(&store, from, until).await;
    store.shutdown().await.expect("durable");
    drop(store);
    match disk.remove(&index()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        Ok(()) | Err(_) => {}
    }
}

/// A world with so many runs; its server is yet to be started.
pub(crate) async fn world(runs: u64) -> World {
    let mut world = World::new(3, FakeConfig::default());
    world.disk = SimDisk::new(3);
    write(&world.disk, 0, runs).await;
    world
}

/// All runs, page by page.
pub(crate) fn listed(world: &World) -> Vec<Summary> {
    let mut filter = Filter { limit: 300, ..Filter::default() };
    let mut all = Vec::new();
    loop {
        let page = world.server().app.list(&filter);
        all.extend(page.runs);
        filter.before = page.next;
        if page.next.is_none() {
            return all;
        }
    }
}

/// How many runs the last start knew by its index.
pub(crate) fn known(world: &World) -> usize {
    world.server().recovered.streams.iter().filter(|stream| stream.over.is_some() && stream.snapshot.is_none()).count()
}

/// The log of the `n`-th run.
pub(crate) fn log(n: u64) -> PathBuf {
    Path::new(DATA).join("runs").join(past::run(n).to_string()).join("events.log")
}
