//! `retry`, names of runs, lists by filter, `replay --speed`, completions and the manual.

use rustix::process::Signal;

use crate::support::{Comfy, Place, text};

/// The ids of all runs, the newest first.
fn ids(place: &Place) -> Vec<String> {
    place.ends(&["runs", "--all", "--json"]).is(0).json().iter().map(|run| text(run, "run_id")).collect()
}

#[test]
fn a_retry_is_a_new_run_of_the_same_workflow() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("21_custom_fails_midway");
    place.ends(&["run", &workflow, "--url", &comfy.url()]).is(1);
    let first = ids(&place).remove(0);
    place.ends(&["retry", "last"]).is(1).says("failed").warns("asked to fail");
    place.ends(&["retry", &first, "--json"]).is(1);
    let all = ids(&place);
    assert_eq!(all.len(), 3);
    let shown = place.ends(&["show", &all[0], "--json"]).is(0).json().remove(0);
    assert_eq!(shown["retry_of"], first.as_str());
    place.ends(&["retry", &first, "--detach"]).is(0).bare();
    place.ends(&["resubmit", &first]).is(1).warns("error[already_settled]");
    place.ends(&["retry", "ffffffff"]).is(2).warns("error[unknown_run]");
}

#[test]
fn a_run_is_named_by_what_only_it_has() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("01_simple_save");
    place.ends(&["show", "last"]).is(2).warns("error[unknown_run]");
    for name in ["one", "two"] {
        place.ends(&["run", &workflow, "--url", &comfy.url(), "--name", name]).is(0);
    }
    let ids = ids(&place);
    let end = &ids[1][28..];
    for command in ["show", "watch", "outputs", "replay"] {
        place.ends(&[command, end]).is(0);
    }
    assert_eq!(text(&place.ends(&["show", end, "--json"]).is(0).json()[0], "workflow_name"), "one");
    assert_eq!(text(&place.ends(&["show", "last", "--json"]).is(0).json()[0], "workflow_name"), "two");
    // Both were made within the minute, so they begin alike.
    place.ends(&["show", &ids[0][..8]]).is(2).warns("error[ambiguous_run]").warns(&ids[0]).warns(&ids[1]).warns("two");
    place.ends(&["log", "cat", "last"]).is(0).says("run_created");
    place.ends(&["cancel", end]).is(1).warns("error[already_settled]");
    place.ends(&["outputs", "last", "7"]).is(2).warns("error[no_such_output]");
    let to = place.path("to").display().to_string();
    place.ends(&["outputs", "last", "1", "--to", &to]).is(0).says("to/1-");
}

#[test]
fn ended_runs_are_removed_when_somebody_says_so() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("01_simple_save");
    for _ in 0..3 {
        place.ends(&["run", &workflow, "--url", &comfy.url()]).is(0);
    }
    let before = ids(&place);
    place.ends(&["rm", "last"]).is(2).warns("error[not_confirmed]").warns("--yes");
    place.ends(&["rm", &before[0], "ffffffff", "--yes"]).is(2).warns("error[unknown_run]");
    assert_eq!(ids(&place), before, "all or none");
    place.ends(&["rm", &before[0], &before[2], &before[0], "--yes"]).is(0).says(&before[0]).says(&before[2]);
    assert_eq!(ids(&place), [before[1].clone()]);
    assert!(!place.data().join("runs").join(&before[0]).exists());
    place.ends(&["show", &before[0]]).is(2).warns("error[unknown_run]");
    let slow = Comfy::slow();
    let workflow = place.workflow("20_custom_slow_previews");
    let mut running = place.starts(&["run", &workflow, "--url", &slow.url(), "--set", "1.steps=600"]);
    running.until("step ");
    place.ends(&["rm", "last", "--yes"]).is(1).warns("error[not_settled]");
    place.ends(&["cancel", "last"]).is(0);
    running.ends().is(3);
}

#[test]
fn lists_are_filtered_and_paged() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let good = place.workflow("01_simple_save");
    let bad = place.workflow("21_custom_fails_midway");
    for (workflow, name, code) in [(&good, "a cat & a dog", 0), (&bad, "dog", 1), (&good, "bird", 0)] {
        place.ends(&["run", workflow, "--url", &comfy.url(), "--name", name]).is(code);
    }
    let names = |args: &[&str]| {
        let args = [&["runs", "--json"], args].concat();
        place.ends(&args).is(0).json().iter().map(|run| text(run, "workflow_name")).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["bird", "dog", "a cat & a dog"]);
    assert_eq!(names(&["--limit", "2"]), ["bird", "dog"]);
    assert_eq!(names(&["--status", "failed"]), ["dog"]);
    assert_eq!(names(&["--status", "failed,completed", "--text", "DOG"]), ["dog", "a cat & a dog"]);
    assert_eq!(names(&["--name", "a cat & a dog"]), ["a cat & a dog"]);
    assert_eq!(names(&["--after", "2099-01-01T00:00:00Z"]), [""; 0]);
    assert_eq!(names(&["--before", "2099-01-01T00:00:00Z", "-q", "bird"]), ["bird"]);
    place.ends(&["runs", "-q", "nothing like it"]).is(0).says("No run is like that.");
    place.ends(&["runs", "--status", "done"]).is(2).warns("error[bad_query]").warns("done");
    place.ends(&["runs", "--after", "yesterday"]).is(2).warns("error[bad_query]").warns("yesterday");
}

#[test]
fn a_log_is_played_and_can_be_left() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("22_custom_expand_and_lists");
    place.ends(&["run", &workflow, "--url", &comfy.url()]).is(0);
    let played = place
        .ends(&["replay", "last", "--speed", "1000x"])
        .is(0)
        .bare()
        .says("queued")
        .says("executing/")
        .says("completed 6/6 100.0%");
    assert!(played.out.lines().count() > 3, "{}", played.out);
    let states = place.ends(&["replay", "last", "--speed", "1000000", "--json"]).is(0).json();
    let last = place.ends(&["replay", "last", "--json"]).is(0).json().remove(0);
    assert_eq!(states.last(), Some(&last));
    assert_eq!(
        states.iter().map(|state| state["seq"].as_u64()).collect::<Vec<_>>(),
        (1..=states.len() as u64).map(Some).collect::<Vec<_>>()
    );
    place.ends(&["replay", "last", "--speed", "fast"]).is(2).warns("10x");
    let mut slow = place.starts(&["replay", "last", "--speed", "0.001x"]);
    slow.until("queued");
    slow.signal(Signal::INT);
    slow.ends().is(0);
}

#[test]
fn outputs_reach_a_directory_that_the_server_may_not_write() {
    let (comfy, place, away) = (Comfy::fast(), Place::new(), Place::new());
    let mut serving = place.starts(&["serve", "--listen", "127.0.0.1:0", "--url", &comfy.url()]);
    serving.until("comfyd listens");
    let workflow = place.workflow("01_simple_save");
    // The server's home is `place`; what lies outside is the user's own to write.
    let to = away.path("outside").display().to_string();
    place.ends(&["run", &workflow, "--output-dir", &to]).is(0).says("completed").says("outside/1-");
    assert_eq!(std::fs::read_dir(&to).expect("there").count(), 1);
    place.ends(&["run", &workflow, "--output-dir", &to, "--detach"]).is(2).warns("error[output_dir_not_allowed]");
    assert_eq!(ids(&place).len(), 1, "the refused one is not there");
}

#[test]
fn shells_and_man_are_told_about_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        place.ends(&["completions", shell]).is(0).says("retry").says("output-dir");
    }
    place.ends(&["completions", "tcsh"]).is(2).warns("bash");
    place.ends(&["man"]).is(0).says(".TH comfyd 1").says("comfyd\\-run(1)");
    let to = place.path("man").display().to_string();
    place.ends(&["man", "--to", &to]).is(0);
    for page in ["comfyd.1", "comfyd-run.1", "comfyd-log-verify.1"] {
        assert!(place.path("man").join(page).is_file(), "{page}");
    }
    place.ends(&["--version"]).is(0).says("comfyd ");
}
