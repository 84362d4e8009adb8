//! One suite for every implementation of the store port.

use comfyd_engine::{Append, AppendError, Durability, EventStore, MemoryStore, Seq, StreamId};
use comfyd_server::store::{FileStore, Options, RealDisk, SimDisk};
use std::path::Path;
use std::sync::Arc;

fn append(stream: &StreamId, expected: u64, payloads: &[&[u8]]) -> Append {
    Append {
        stream: stream.clone(),
        expected: Seq(expected),
        payloads: payloads.iter().map(|payload| payload.to_vec()).collect(),
    }
}

async fn conforms(store: &mut dyn EventStore) {
    let a: StreamId = "instance/a".parse().expect("a stream id");
    let b: StreamId = "run/0193a1b2-0000-7000-8000-000000abc123".parse().expect("a stream id");
    assert_eq!(store.streams().await, []);
    assert_eq!(store.read(&a, Seq(0)).await.expect("an unknown stream is empty"), []);

    let both = vec![append(&a, 0, &[b"one", b"two"]), append(&b, 0, &[b"first"])];
    store.append_all(both, Durability::Synced).await.expect("two streams in one batch");
    assert_eq!(store.read(&a, Seq(0)).await.expect("it is there"), [(Seq(1), b"one".to_vec()), (Seq(2), b"two".to_vec())]);
    assert_eq!(store.read(&a, Seq(1)).await.expect("it is there"), [(Seq(2), b"two".to_vec())]);
    assert_eq!(store.read(&b, Seq(0)).await.expect("it is there"), [(Seq(1), b"first".to_vec())]);

    // One stream has moved: nothing of the batch happens.
    let stale = vec![append(&b, 1, &[b"second"]), append(&a, 1, &[b"stale"])];
    let refused = store.append_all(stale, Durability::Synced).await;
    assert!(matches!(refused, Err(AppendError::Conflict { expected: Seq(1), actual: Seq(2), .. })), "{refused:?}");
    assert_eq!(store.read(&b, Seq(0)).await.expect("it is there").len(), 1);

    store.append_all(vec![append(&a, 2, &[b"three"])], Durability::Written).await.expect("the right place");
    assert_eq!(store.read(&a, Seq(2)).await.expect("it is there"), [(Seq(3), b"three".to_vec())]);
    assert_eq!(store.streams().await, [b.clone(), a.clone()], "runs are sorted before instances");
}

#[tokio::test]
async fn memory() {
    conforms(&mut MemoryStore::default()).await;
}

#[tokio::test]
async fn files_on_a_simulated_disk() {
    let opened = FileStore::inline(Path::new("/data"), Arc::new(SimDisk::new(1)), Options::default());
    conforms(&mut opened.expect("an empty disk opens").0).await;
}

#[tokio::test]
async fn files_on_a_real_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let opened = FileStore::open(&dir.path().join("data"), Arc::new(RealDisk), Options::default());
    let mut store = opened.expect("an empty directory opens").0;
    conforms(&mut store).await;
    store.shutdown().await.expect("the last sync works");
}
