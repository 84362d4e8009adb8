//! `serve`, `demo`, `token`, and commands that talk to a server.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Comfy, Place, head, text};

#[test]
fn a_server_stops_on_sigterm_and_commands_go_through_it() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let mut serving = place.starts(&["serve", "--listen", "127.0.0.1:0", "--url", &comfy.url()]);
    let line = serving.until("comfyd listens");
    // It may be read by a journal, so the token is not in it.
    let token = std::fs::read_to_string(place.data().join("token")).expect("a token was made");
    assert!(line.contains("http://127.0.0.1:") && line.contains("(token: comfyd token --data-dir "), "{line}");
    assert!(!line.contains(token.trim()) && !line.contains('#'), "{line}");
    // The instance is the server's default.
    let workflow = place.workflow("01_simple_save");
    place.ends(&["run", &workflow]).is(0).says("completed").says("output 1 image");
    assert_eq!(place.ends(&["runs", "--json"]).is(0).json().len(), 1);
    place.ends(&["serve", "--listen", "127.0.0.1:0"]).is(2).warns("error[directory_locked]").warns("hint:");
    let began = Instant::now();
    serving.signal(Signal::TERM);
    serving.ends().is(0);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(!place.data().join("server.json").exists());
}

#[test]
fn a_server_that_others_can_reach_needs_a_token() {
    let place = Place::new();
    place.ends(&["serve", "--listen", "0.0.0.0:0"]).is(2).warns("error[token_needed]");
}

#[test]
fn a_remote_server_needs_its_token_and_outputs_are_fetched_from_it() {
    let (comfy, place, away) = (Comfy::fast(), Place::new(), Place::new());
    let mut serving = place.starts(&["serve", "--listen", "127.0.0.1:0", "--url", &comfy.url()]);
    let line = serving.until("comfyd listens");
    let server = line.trim().split_once("Open ").expect("a link").1.split(' ').next().expect("a URL");
    let token = place.ends(&["token"]).is(0).out;
    let token = token.trim();
    let workflow = away.workflow("01_simple_save");
    let right = away.file("right", token);
    let wrong = away.file("wrong", "0000");
    away.ends(&["runs", "--server", server]).is(2).warns("error[no_token]");
    away.ends(&["runs", "--server", server, "--token-file", &wrong]).is(2).warns("error[wrong_token]").warns("hint:");
    let to = away.path("here").display().to_string();
    let args = ["run", &workflow, "--server", server, "--token-file", &right, "--output-dir", &to];
    away.ends(&args).is(0).says("completed").says("here/");
    assert_eq!(std::fs::read_dir(&to).expect("there").count(), 1);
    let detached = ["run", &workflow, "--server", server, "--token-file", &right, "--output-dir", &to, "--detach"];
    away.ends(&detached).is(2).warns("error[output_dir_needs_following]");
    assert!(!away.data().exists(), "nothing is kept here");
    serving.signal(Signal::TERM);
    serving.ends().is(0);
    away.ends(&["runs", "--server", server]).is(4).warns("error[server_unreachable]");
}

#[test]
fn a_token_that_is_no_secret_is_refused_and_kept() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let token = place.ends(&["token"]).is(0).out;
    let path = place.data().join("token");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
    place.ends(&["serve", "--listen", "127.0.0.1:0"]).is(1).warns("error[token_not_private]").warns("chmod 600");
    place.ends(&["token"]).is(1).warns("error[token_not_private]");
    std::fs::write(&path, "secret").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
    place.ends(&["serve", "--listen", "127.0.0.1:0"]).is(1).warns("error[token_too_short]").warns("Remove ");
    assert_eq!(std::fs::read_to_string(&path).expect("kept"), "secret");
    std::fs::write(&path, &token).expect("written");
    place.starts(&["serve", "--listen", "127.0.0.1:0"]).until("comfyd listens");
}

#[test]
fn a_server_answers_to_the_names_that_were_allowed() {
    let place = Place::new();
    place.ends(&["serve", "--allowed-host", "http://comfy.example"]).is(2).warns("comfy.example:8443");
    let args = ["serve", "--listen", "127.0.0.1:0", "--allowed-host", "a.example", "--allowed-host", "b.example:8443"];
    let mut serving = place.starts(&args);
    serving.until("comfyd listens");
    for (host, status) in [("a.example", "200"), ("b.example:8443", "200"), ("b.example", "421"), ("c.example", "421")] {
        let head = head(&place.data(), host);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {head}");
    }
}

#[test]
fn following_heals_over_a_killed_server() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let mut serving = place.starts(&serve);
    serving.until("comfyd listens");
    let workflow = place.workflow("20_custom_slow_previews");
    let mut running = place.starts(&["run", &workflow, "--url", &comfy.url(), "--set", "1.steps=60"]);
    running.until("step ");
    serving.signal(Signal::KILL);
    serving.ends();
    running.until("connection to comfyd lost");
    let mut again = place.starts(&serve);
    again.until("comfyd listens");
    running.until("connected to comfyd again");
    running.ends().is(0).says("completed");
}

#[test]
fn a_server_that_stays_away_ends_the_following_with_4() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let mut serving = place.starts(&["serve", "--listen", "127.0.0.1:0"]);
    serving.until("comfyd listens");
    let workflow = place.workflow("20_custom_slow_previews");
    let mut running = place.starts(&["run", &workflow, "--url", &comfy.url(), "--set", "1.steps=600", "--give-up-after", "1"]);
    running.until("step ");
    serving.signal(Signal::KILL);
    serving.ends();
    running.ends().is(4).warns("error[server_unreachable]").warns("comfyd watch ");
}

#[test]
fn a_run_that_holds_the_directory_serves_the_others_to_their_end() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let workflow = place.workflow("20_custom_slow_previews");
    let url = comfy.url();
    let mut first = place.starts(&["run", &workflow, "--url", &url, "--set", "1.steps=20"]);
    first.until("step ");
    let mut second = place.starts(&["run", &workflow, "--url", &url, "--set", "1.steps=30", "--set", "1.seed=9"]);
    second.until("queued/");
    first.until("completed");
    let second = second.ends().is(0).says("completed");
    assert!(!second.out.contains("connection to comfyd lost"), "{}", second.out);
    first.ends().is(0).warns("Others follow");
}

#[test]
fn the_token_is_made_once_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let first = place.ends(&["token"]).is(0);
    assert!(first.out.trim().len() >= 64, "{}", first.out);
    assert_eq!(place.ends(&["token"]).is(0).out, first.out);
    let mode = std::fs::metadata(place.data().join("token")).expect("kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::metadata(place.data()).expect("made").permissions().mode() & 0o077, 0);
}

#[test]
fn the_demo_needs_nothing() {
    let place = Place::new();
    let dir = place.path("demo").display().to_string();
    let ended = place.ends(&["demo", "--once", "--speed", "8", "--data-dir", &dir]).is(0).bare();
    let ended = ended.says("/#token=").says("KSampler").says("step ").says("completed");
    let path = ended.out.lines().find_map(|line| line.strip_prefix("output 1 image: ")?.split_once(" (")).expect("an output").0;
    assert!(std::fs::read(path).expect("there").starts_with(b"\x89PNG"));
    // Again, on the same directory: nothing is cached from the time before.
    place.ends(&["demo", "--once", "--speed", "40", "--data-dir", &dir, "--json"]).is(0);
    let runs = place.ends(&["runs", "--data-dir", &dir, "--json"]).is(0).json();
    assert_eq!(runs.iter().map(|run| text(run, "status")).collect::<Vec<_>>(), ["completed", "completed"]);
}

#[test]
fn the_demo_keeps_serving_until_it_is_interrupted() {
    let place = Place::new();
    let dir = place.path("demo").display().to_string();
    let mut demo = place.starts(&["demo", "--speed", "40", "--data-dir", &dir]);
    demo.until("Ctrl-C ends it");
    assert_eq!(place.ends(&["runs", "--data-dir", &dir, "--json"]).is(0).json().len(), 1);
    demo.signal(Signal::INT);
    demo.ends().is(0);
}
