//! Outputs come whole or not at all.

use bytes::{Bytes, BytesMut};
use comfyd_engine::{Addressed, Command, CommandId, Outcome, RemoteFile, Seq, StreamId, testkit};
use comfyd_fixtures::{FakeComfy, FakeConfig, Folder, ViewFault};

use crate::world::{World, instance, sha256};

fn content() -> Bytes {
    (0..200_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>().into()
}

fn collect(filename: &str) -> Addressed {
    let run = testkit::run_id(1);
    let file = RemoteFile { key: "images".into(), filename: filename.into(), subfolder: "a b".into(), folder: "output".into() };
    let id = CommandId { stream: StreamId::Run(run), seq: Seq(1), index: 0 };
    Addressed { id, run, instance: instance(), command: Command::Collect { n: 1, file } }
}

async fn fetch(faults: &[ViewFault]) -> (World, Outcome) {
    let fake = FakeComfy::new(FakeConfig::default());
    fake.put_file(Folder::Output, "a b", "x&y.bin", content());
    fake.tune(|knobs| knobs.next_views.extend(faults));
    let world = World::new(&fake);
    let outcome = world.executor.perform(collect("x&y.bin")).await.unwrap();
    (world, outcome)
}

fn whole(outcome: &Outcome) {
    match outcome {
        Outcome::Collected { n: 1, file } => assert_eq!((file.size, &file.sha256), (800_000, &sha256(&content()))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_download_goes_on_where_it_ended() {
    let cuts = [ViewFault::CutAfter(100_000), ViewFault::CutAfter(1), ViewFault::CutAfter(300_000)];
    let (world, outcome) = fetch(&cuts).await;
    whole(&outcome);
    assert_eq!(world.store.output(1), content());
    assert_eq!(*world.store.written.lock().unwrap(), 800_000, "no byte came twice");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn lies_about_the_length_are_seen_through() {
    for fault in [ViewFault::PromiseMore(1_000), ViewFault::PromiseLess(1_000)] {
        let (world, outcome) = fetch(&[fault]).await;
        whole(&outcome);
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_in_trouble_is_tried_five_times() {
    let (world, outcome) = fetch(&[ViewFault::Transient(4)]).await;
    whole(&outcome);
    world.end().await;
    let (world, outcome) = fetch(&[ViewFault::Transient(5)]).await;
    assert!(matches!(outcome, Outcome::OutputDelayed { n: 1, .. }), "{outcome:?}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_there_is_gone() {
    let (world, outcome) = fetch(&[ViewFault::NotFound]).await;
    assert!(matches!(outcome, Outcome::OutputGone { n: 1, .. }), "{outcome:?}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_a_file_may_give_it_later() {
    let world = World::new(&FakeComfy::new(FakeConfig::default()));
    let outcome = world.executor.perform(collect("../../etc/passwd")).await.unwrap();
    let Outcome::OutputDelayed { n: 1, why } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("status 40"), "{why}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_file_that_is_gone() {
    let (world, outcome) = fetch(&[ViewFault::CutAfter(100_000), ViewFault::NotFound]).await;
    assert!(matches!(outcome, Outcome::OutputGone { n: 1, .. }), "{outcome:?}");
    assert!(world.store.parts.lock().unwrap().is_empty());
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_is_used_only_if_it_is_of_the_same_version() {
    let fake = FakeComfy::new(FakeConfig::default());
    fake.put_file(Folder::Output, "a b", "x&y.bin", content());
    let world = World::new(&fake);
    let file = RemoteFile { key: "images".into(), filename: "x&y.bin".into(), subfolder: "a b".into(), folder: "output".into() };
    let etag = world.http.view(&file, 0, None).await.unwrap().etag.unwrap();
    for (etag, written) in [(Some(etag), 700_000), (Some("\"other\"".to_owned()), 800_000), (None, 800_000)] {
        *world.store.written.lock().unwrap() = 0;
        let left = BytesMut::from(&content()[..100_000]);
        world.store.parts.lock().unwrap().insert(1, (left, etag.clone()));
        whole(&world.executor.perform(collect("x&y.bin")).await.unwrap());
        assert_eq!(*world.store.written.lock().unwrap(), written, "{etag:?}");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_is_a_file() {
    let fake = FakeComfy::new(FakeConfig::default());
    fake.put_file(Folder::Output, "a b", "empty", Bytes::new());
    let world = World::new(&fake);
    let outcome = world.executor.perform(collect("empty")).await.unwrap();
    assert!(matches!(&outcome, Outcome::Collected { file, .. } if file.size == 0), "{outcome:?}");
    world.end().await;
}
