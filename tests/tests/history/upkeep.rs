//! Rules for keeping, the slow look at all logs, and what nobody names any more.

use std::path::Path;
use std::time::Duration;

use comfyd_adapters::digest::sha256;
use comfyd_fixtures::{Picture, workflows};
use comfyd_server::app::{Execute, Image, Images, RetentionRules, Source, Target};
use comfyd_server::store::Disk;
use comfyd_server::testing::DATA;
use comfyd_tests::past;
use comfyd_tests::world::{URL, World, in_simulation};

use crate::support::{known, listed, log, world};

/// Waits, in simulated time, until something is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..5_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    panic!("never: {what}");
}

fn names(world: &World) -> Vec<String> {
    listed(world).into_iter().map(|run| run.workflow_name).collect()
}

#[test]
fn the_oldest_runs_go_when_there_are_too_many() {
    in_simulation(async {
        let mut world = world(300).await;
        world.retention = RetentionRules { max_runs: Some(100), ..RetentionRules::default() };
        world.start().await;
        until("two hundred are gone", || listed(&world).len() == 100).await;
        assert_eq!(names(&world), (200..300).rev().map(past::name).collect::<Vec<_>>(), "the newest stay");
        // Changed while it runs: by size, and by age.
        let bytes: u64 = listed(&world).iter().map(|run| run.bytes).sum();
        assert!(bytes > 100 * 500, "logs have lengths");
        world.server().app.set_retention(RetentionRules { max_bytes: Some(bytes / 2), ..RetentionRules::default() });
        until("half of the bytes are gone", || listed(&world).iter().map(|run| run.bytes).sum::<u64>() <= bytes / 2).await;
        let left = listed(&world).len() as u64;
        assert!((48..=51).contains(&left), "{left}");
        assert_eq!(names(&world), (300 - left..300).rev().map(past::name).collect::<Vec<_>>());
        world.server().app.set_retention(RetentionRules::default());
        tokio::time::sleep(Duration::from_hours(2)).await;
        assert_eq!(listed(&world).len() as u64, left, "without rules all stay");
        world.server().app.set_retention(RetentionRules { max_age: Some(Duration::from_hours(1)), ..RetentionRules::default() });
        until("all are too old", || listed(&world).is_empty()).await;
        until("and gone from the disk", || world.disk.list(&Path::new(DATA).join("runs")).expect("listed").is_empty()).await;
        world.shut_down().await;
        world.start().await;
        assert_eq!(listed(&world), []);
        world.shut_down().await;
    });
}

#[test]
fn a_run_whose_request_may_be_repeated_stays() {
    in_simulation(async {
        let mut world = world(0).await;
        world.retention = RetentionRules { max_runs: Some(0), ..RetentionRules::default() };
        world.start().await;
        let source = || Source::Inline { text: workflows::named("06_text").expect("a sample").json.to_owned(), file: None };
        let request = |key: Option<&str>| Execute {
            target: Some(Target::Url(URL.to_owned())),
            idempotency_key: key.map(str::to_owned),
            ..Execute::new(source())
        };
        let app = world.server().app.clone();
        let keyed = app.execute(request(Some("once"))).await.expect("started").run_id;
        let other = app.execute(request(None)).await.expect("started").run_id;
        until("the other is gone", || app.resolve(&other.to_string()).is_err()).await;
        let again = app.execute(request(Some("once"))).await.expect("answered");
        assert_eq!((again.run_id, again.fresh), (keyed, false));
        until("nobody repeats it any more", || app.resolve(&keyed.to_string()).is_err()).await;
        world.shut_down().await;
    });
}

#[test]
fn damage_that_nobody_looks_for_is_found_and_remembered() {
    in_simulation(async {
        let mut world = world(100).await;
        // In the middle of a log, and then at the end of one whose snapshot is lost too.
        world.disk.edit(&log(40), |bytes| bytes[120] ^= 1);
        world.start().await;
        assert!(listed(&world).iter().all(|run| run.quarantined.is_none()), "a start does not read it");
        world.shut_down().await;
        world.disk.edit(&log(60), |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        });
        world.disk.edit(&log(60).with_file_name("state.json"), Vec::clear);
        world.start().await;
        let damaged =
            || -> Vec<_> { listed(&world).into_iter().filter(|run| run.quarantined.is_some()).map(|run| run.run_id).collect() };
        until("both are found", || damaged() == [past::run(60), past::run(40)]).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(damaged().len(), 2, "the others are well");
        world.shut_down().await;
        // Known at once from now on; a log that is put right is well again.
        world.disk.edit(&log(40), |bytes| bytes[120] ^= 1);
        world.start().await;
        let again: Vec<_> = listed(&world).into_iter().filter(|run| run.quarantined.is_some()).map(|run| run.run_id).collect();
        assert!(!again.contains(&past::run(40)), "{again:?}");
        assert_eq!(known(&world), 98);
        world.shut_down().await;
    });
}

#[test]
fn damage_is_known_again_at_once() {
    in_simulation(async {
        let mut world = world(10).await;
        world.start().await;
        world.shut_down().await;
        world.disk.edit(&log(4), |bytes| bytes[120] ^= 1);
        world.start().await;
        until("it is found", || listed(&world).iter().any(|run| run.quarantined.is_some())).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.kill().await;
        world.start().await;
        let found = listed(&world);
        let damaged: Vec<_> = found.iter().filter(|run| run.quarantined.is_some()).collect();
        assert_eq!(damaged.iter().map(|run| run.run_id).collect::<Vec<_>>(), [past::run(4)]);
        assert_eq!(damaged[0].workflow_name, past::name(4), "shown as it was known");
        assert_eq!(found.len(), 10);
        // Rules leave it alone, its user need not.
        world.server().app.set_retention(RetentionRules { max_runs: Some(0), ..RetentionRules::default() });
        until("the others are gone", || listed(&world).len() == 1).await;
        world.server().app.delete(past::run(4)).await.expect("removed");
        assert_eq!(listed(&world), []);
        world.shut_down().await;
    });
}

#[test]
fn the_look_at_all_logs_goes_on_where_it_was() {
    in_simulation(async {
        let mut world = world(200).await;
        world.start().await;
        // A minute's rest, then ten a second.
        tokio::time::sleep(Duration::from_secs(60 + 10)).await;
        world.shut_down().await;
        world.disk.edit(&log(10), |bytes| bytes[120] ^= 1);
        world.disk.edit(&log(190), |bytes| bytes[120] ^= 1);
        world.start().await;
        let damaged =
            || -> Vec<_> { listed(&world).into_iter().filter(|run| run.quarantined.is_some()).map(|run| run.run_id).collect() };
        until("the later one is found", || !damaged().is_empty()).await;
        assert_eq!(damaged(), [past::run(190)], "the earlier one had its turn");
        until("its turn comes again", || damaged().len() == 2).await;
        world.shut_down().await;
    });
}

#[test]
fn a_blob_goes_with_the_last_run_that_names_it() {
    in_simulation(async {
        let mut world = world(5).await;
        world.start().await;
        let app = world.server().app.clone();
        let picture = Picture::finished(48, 32, 5).png(&[]);
        let blob = Path::new(DATA).join("blobs").join(sha256(&picture).as_str());
        let source = || Source::Inline { text: workflows::named("07_load_image").expect("a sample").json.to_owned(), file: None };
        let request = || Execute {
            target: Some(Target::Url(URL.to_owned())),
            images: Images::InOrder(vec![Image::Bytes { name: "mine.png".to_owned(), bytes: picture.clone().into() }]),
            ..Execute::new(source())
        };
        let (one, two) = (app.execute(request()).await.expect("started"), app.execute(request()).await.expect("started"));
        for run in [one.run_id, two.run_id] {
            world.wait(run, Duration::from_mins(10), |view| view.status.is_settled()).await;
        }
        app.delete(one.run_id).await.expect("removed");
        tokio::time::sleep(Duration::from_hours(4)).await;
        assert!(world.disk.len(&blob).expect("looked").is_some(), "the other run names it");
        app.delete(two.run_id).await.expect("removed");
        until("nobody names it", || world.disk.len(&blob).expect("looked").is_none()).await;
        world.shut_down().await;
    });
}
