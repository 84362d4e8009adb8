//! Runs that go well, and runs that ComfyUI ends.

use comfyd_engine::{ClientId, Fact, Input, LinkChange, Produced, RunEvent, Upload};
use comfyd_fixtures::{FakeComfy, FakeConfig, Folder, Picture, ServerVersion, workflows};

use crate::world::{CLIENT, World};

fn workflow(name: &str) -> &'static str {
    workflows::named(name).unwrap().json
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_to_its_end() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let run = world.start(workflow("20_custom_slow_previews"));
    assert_eq!(world.settled(run).await, "completed");

    let up = |input: &Input| matches!(input, Input::Link(_, LinkChange::Up { version: Some(version), live: true, .. }) if version == "0.8.0");
    assert_eq!(world.count(up), 1);
    assert_eq!(world.count(|input| matches!(input, Input::Link(..))), 1, "nothing else was to be told of the way");
    let kinds = world.kinds(run);
    for kind in ["staged", "submit_intended", "submitted", "execution_started", "node_started", "node_finished", "output_saved"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert!(!kinds.contains(&"gap_noted"), "{kinds:?}");
    let preview = world.previews.try_recv().unwrap();
    assert_eq!((preview.run, preview.media_type), (run, "image/jpeg"));
    assert!(preview.node.is_some());
    assert!(world.store.output(1).starts_with(b"\x89PNG") || world.store.output(2).starts_with(b"\x89PNG"));
    assert_eq!(fake.ledger().prompt(&run.to_string()).posts, 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn progress_is_recorded_at_most_ten_times_a_second() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let fast = workflow("20_custom_slow_previews")
        .replace("\"step_ms\": 100", "\"step_ms\": 5")
        .replace("\"steps\": 30", "\"steps\": 600");
    let run = world.start(&fast);
    assert_eq!(world.settled(run).await, "completed");
    let times: Vec<u64> = world
        .facts
        .iter()
        .filter(|(_, fact)| matches!(fact, Fact::Run(_, recorded) if matches!(recorded.event, RunEvent::NodesProgressed(_))))
        .map(|(at, _)| *at)
        .collect();
    assert!(times.len() > 20, "{}", times.len());
    for window in times.windows(12) {
        assert!(window[11] - window[0] >= 900, "{window:?}");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_sample_workflows_end_as_they_should() {
    for version in [ServerVersion::reference(), ServerVersion::v0_3_64(), ServerVersion::newest()] {
        for sample in workflows::ALL {
            if sample.name == "07_load_image" {
                continue; // It needs an upload; see below.
            }
            let fake = FakeComfy::new(FakeConfig { version: version.clone(), ..FakeConfig::default() });
            let mut world = World::new(&fake);
            let run = world.start(sample.json);
            let expected = if sample.name == "21_custom_fails_midway" { "failed" } else { "completed" };
            assert_eq!(world.settled(run).await, expected, "{} on {}: {:?}", sample.name, version.name, world.kinds(run));
            assert_eq!(fake.ledger().prompt(&run.to_string()).posts, 1, "{}", sample.name);
            let outputs = world.engine.run(run).unwrap().outputs().iter().count();
            assert!(outputs > 0, "{} on {}", sample.name, version.name);
            world.end().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_comes_with_the_end_of_the_servers_log() {
    let told = ServerVersion::reference();
    let silent = ServerVersion { terminal_log: false, ..told.clone() };
    for (version, path) in [(told, "200"), (silent, "404")] {
        let fake = FakeComfy::new(FakeConfig { version, ..FakeConfig::default() });
        let mut world = World::new(&fake);
        let run = world.start(workflow("21_custom_fails_midway"));
        world.until("the run is over", |world| world.engine.run(run).unwrap().is_over()).await;
        let lines = world.engine.run(run).unwrap().log_lines();
        let asked = fake.ledger().requests.get("GET /internal/logs/raw").copied();
        assert_eq!(asked, Some(1), "{path}");
        if path == "404" {
            assert!(lines.is_empty(), "{lines:?}");
        } else {
            let failed =
                lines.iter().any(|line| line == "!!! Exception during processing !!! asked to fail at step 6 of 10 (seed 1)");
            assert!(failed && lines.contains(&"got prompt".to_owned()), "{lines:#?}");
            assert_eq!(lines.last().map(String::as_str), Some("Prompt executed in 0.60 seconds"), "{lines:#?}");
        }
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_after_a_failure_owes_no_log() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let run = world.start(workflow("21_custom_fails_midway"));
    world.phased(run, "running").await;
    world.until("the failure is told", |world| world.phase(run) == "failed").await;
    fake.freeze();
    let before = world.now();
    world.until("the run is over", |world| world.engine.run(run).unwrap().is_over()).await;
    assert!(world.now() - before <= 3_000, "a silent server holds nobody up");
    fake.thaw();
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_server_is_watched_by_its_own_id() {
    let fake = FakeComfy::new(FakeConfig { version: ServerVersion::old(), ..FakeConfig::default() });
    let mut world = World::new(&fake);
    let run = world.start(workflow("20_custom_slow_previews"));
    assert_eq!(world.settled(run).await, "completed");
    assert_ne!(world.engine.run(run).unwrap().prompt_id().0, run.to_string());
    assert!(
        world.previews.try_recv().is_ok_and(|preview| preview.run == run),
        "previews without a name are of the prompt that runs"
    );
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_input_file_is_uploaded_under_its_hash() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let png = Picture::finished(32, 32, 7).png(&[]);
    let blob = world.store.keep(png.clone());
    let upload = Upload { blob: blob.clone(), node: "1".into(), input: "image".into(), file_name: "my photo.png".into() };
    let run = world.start_with(workflow("07_load_image"), vec![upload.clone()]);
    assert_eq!(world.settled(run).await, "completed");
    let name = upload.name_for(&ClientId(CLIENT.into()));
    assert!(name.starts_with(&format!("comfyd_{}_", &blob.as_str()[..16])), "{name}");
    assert_eq!(fake.file(Folder::Input, "", &name).unwrap(), png);

    let again = world.start_with(workflow("07_load_image"), vec![upload]);
    assert_eq!(world.settled(again).await, "completed");
    assert_eq!(fake.file_names(Folder::Input).len(), 1, "the same content is the same file");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_upload_fails_with_advice() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let blob = comfyd_engine::testkit::sha256_of_zeros();
    let upload = Upload { blob, node: "1".into(), input: "image".into(), file_name: "gone.png".into() };
    let run = world.start_with(workflow("07_load_image"), vec![upload]);
    assert_eq!(world.settled(run).await, "failed");
    assert_eq!(fake.ledger().posts(), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_workflow_says_what_is_wrong() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let run = world.start(&workflow("01_simple_save").replace("256", "0"));
    assert_eq!(world.settled(run).await, "failed");
    let error = world.facts.iter().find_map(|(_, fact)| match fact {
        Fact::Run(_, recorded) => match &recorded.event {
            RunEvent::Failed(failed) => Some(&failed.error),
            _ => None,
        },
        Fact::Instance(..) => None,
    });
    let error = error.unwrap();
    assert!(error.message.contains("node 1 (EmptyImage), input `width`"), "{}", error.message);
    assert!(error.message.contains("allowed is INT from 1 to 16384"), "{}", error.message);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn many_runs_share_one_socket() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    let texts = |n: usize| workflow("06_text").replace("hello", &format!("hello {n}"));
    let runs: Vec<_> = (0..20).map(|n| world.start(&texts(n))).collect();
    for (n, run) in runs.iter().enumerate() {
        assert_eq!(world.settled(*run).await, "completed");
        let outputs = world.engine.run(*run).unwrap().outputs();
        let mine = format!("hello {n}, ");
        let text = |produced: &Produced| matches!(produced, Produced::Text { text, .. } if text.starts_with(&mine));
        assert!(outputs.iter().any(|(output, _)| text(&output.produced)), "{n}");
    }
    assert_eq!(fake.ledger().sockets, 1);
    assert_eq!(fake.ledger().posts(), 20);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_fast_run_does_not_wait_for_the_rhythm_of_polling() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    world.online().await;
    let before = world.now();
    let run = world.start(workflow("06_text"));
    assert_eq!(world.settled(run).await, "completed");
    assert!(world.now() - before < 500, "{} ms", world.now() - before);
    world.end().await;
}
