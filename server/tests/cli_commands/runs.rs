//! `run`, `watch`, `cancel`, `outputs` and what they end with.

use rustix::process::Signal;

use crate::support::{Comfy, Place, text};

#[test]
fn a_run_completes_and_says_where_its_outputs_are() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("01_simple_save");
    let ended = place.ends(&["run", &workflow, "--url", &comfy.url()]).is(0).bare().says("completed").says("100.0%");
    let path = ended.out.lines().find_map(|line| line.strip_prefix("output 1 image: ")?.split_once(" (")).expect("an output").0;
    assert!(std::fs::read(path).expect("it is there").starts_with(b"\x89PNG"), "{path}");
    assert!(ended.err.is_empty(), "{}", ended.err);

    let run = place.only_run();
    assert_eq!((text(&run, "status"), text(&run, "workflow_name")), ("completed".to_owned(), "01_simple_save".to_owned()));
    let id = text(&run, "run_id");
    let shown = place.ends(&["show", &id, "--json"]).is(0);
    assert_eq!(shown.json()[0]["run_id"], id.as_str());
    place.ends(&["show", &text(&run, "workflow_id")]).is(0).bare().says("✓ ").says(path);
    place.ends(&["runs"]).is(0).bare().says(&id).says("completed").says("100.0%");
    place.ends(&["watch", &id]).is(0).says("completed");
    place.ends(&["cancel", &id, "--json"]).is(1).warns("\"code\":\"already_settled\"");
}

#[test]
fn json_is_one_object_a_line_and_the_last_is_the_final_state() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("22_custom_expand_and_lists");
    let ended = place.ends(&["run", &workflow, "--url", &comfy.url(), "--json", "--name", "mine"]).is(0).bare();
    let states = ended.json();
    assert!(states.len() > 2, "{}", ended.out);
    let last = states.last().expect("states");
    assert_eq!((text(last, "status"), text(last, "workflow_name")), ("completed".to_owned(), "mine".to_owned()));
    assert!(states.windows(2).all(|two| two[0]["seq"].as_u64() <= two[1]["seq"].as_u64()), "{}", ended.out);
    let id = text(last, "run_id");
    let shown = &place.ends(&["show", &id, "--json"]).is(0).json()[0];
    assert_eq!(shown, last);
}

#[test]
fn a_failed_run_says_why() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let workflow = place.workflow("21_custom_fails_midway");
    let ended = place.ends(&["run", &workflow, "--url", &comfy.url()]).is(1).bare();
    let ended = ended.says("failed").warns("error[").warns("hint:").warns("asked to fail at step");
    ended.warns("ComfyUI's log ended with:").warns("  !!! Exception during processing !!! asked to fail at step");
    let json = place.ends(&["run", &workflow, "--url", &comfy.url(), "--json"]).is(1);
    let states = json.json();
    let last = states.last().expect("states");
    assert_eq!(text(last, "status"), "failed");
    let said = &last["error"]["log_lines"];
    assert!(said.as_array().is_some_and(|lines| lines.iter().any(|line| line == "got prompt")), "{said}");
    // It stands in the run's own log, so that it is there when ComfyUI is long gone.
    drop(comfy);
    let id = text(last, "run_id");
    assert_eq!(&place.ends(&["show", &id, "--json"]).is(0).json()[0]["error"]["log_lines"], said);
    place.ends(&["show", &id]).is(0).says("ComfyUI's log ended with:");
    let seq = last["seq"].as_u64().expect("a number");
    let before = place.ends(&["replay", &id, "--at", &(seq - 1).to_string(), "--json"]).is(0);
    assert_eq!((&before.json()[0]["status"], before.json()[0]["error"].get("log_lines")), (&"failed".into(), None));
}

#[test]
fn inputs_are_set_and_pictures_are_uploaded() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let slow = place.workflow("20_custom_slow_previews");
    let ended = place.ends(&["run", &slow, "--url", &comfy.url(), "--set", "1.steps=3", "--set", "2.steps=2", "--json"]).is(0);
    let states = ended.json();
    let steps =
        states.last().expect("states")["outputs"].as_array().expect("outputs").iter().find_map(|output| output["text"].as_str());
    assert_eq!(steps, Some("3 steps, seed 1"), "{}", ended.out);

    let workflow = place.workflow("07_load_image");
    let png = std::fs::read(first_output(&place, &comfy)).expect("a picture");
    std::fs::write(place.path("cat.png"), png).expect("written");
    let picture = place.path("cat.png").display().to_string();
    let pictures =
        loading_nodes(&workflow).iter().flat_map(|node| ["--image".to_owned(), format!("{node}={picture}")]).collect::<Vec<_>>();
    let url = comfy.url();
    let mut args = vec!["run", workflow.as_str(), "--url", url.as_str()];
    args.extend(pictures.iter().map(String::as_str));
    place.ends(&args).is(0).says("completed");
}

fn first_output(place: &Place, comfy: &Comfy) -> String {
    let ended = place.ends(&["run", &place.workflow("01_simple_save"), "--url", &comfy.url()]).is(0);
    ended.out.lines().find_map(|line| line.strip_prefix("output 1 image: ")?.split_once(" (")).expect("an output").0.to_owned()
}

fn loading_nodes(workflow: &str) -> Vec<String> {
    let graph: serde_json::Value = serde_json::from_slice(&std::fs::read(workflow).expect("a file")).expect("JSON");
    let nodes = graph.as_object().expect("a graph").iter();
    nodes
        .filter(|(_, node)| node["class_type"].as_str().is_some_and(|class| class.starts_with("LoadImage")))
        .map(|(id, _)| id.clone())
        .collect()
}

#[test]
fn a_cancelled_run_ends_with_3_and_the_cancel_goes_through_the_process_that_holds_the_directory() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let workflow = place.workflow("20_custom_slow_previews");
    let mut running = place.starts(&["run", &workflow, "--url", &comfy.url(), "--set", "1.steps=600"]);
    running.until("step ");
    let id = text(&place.only_run(), "run_id");
    place.ends(&["cancel", &id]).is(0).says(&id);
    running.ends().is(3).says("cancelled");
    assert_eq!(text(&place.only_run(), "status"), "cancelled");
}

#[test]
fn ctrl_c_detaches_and_the_next_comfyd_picks_the_run_up() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let workflow = place.workflow("20_custom_slow_previews");
    let mut running = place.starts(&["run", &workflow, "--url", &comfy.url(), "--set", "1.steps=40"]);
    running.until("step ");
    running.signal(Signal::INT);
    running.ends().is(130).warns("This process was the server").warns("comfyd watch ");
    assert!(comfy.fake.running().is_some(), "ComfyUI goes on");
    let id = text(&place.only_run(), "run_id");
    place.ends(&["watch", &id]).is(0).says("completed");
    let ledger = format!("{:?}", comfy.fake.ledger());
    assert!(ledger.contains(&id), "{ledger}");
}

#[test]
fn detached_runs_are_handed_over_before_the_process_ends() {
    let (comfy, place) = (Comfy::slow(), Place::new());
    let workflow = place.workflow("20_custom_slow_previews");
    let ended = place.ends(&["run", &workflow, "--url", &comfy.url(), "--detach", "--json"]).is(0);
    let id = text(&ended.json()[0], "run_id");
    assert!(comfy.fake.running().is_some() || comfy.fake.queue_remaining() > 0, "ComfyUI has it");
    place.ends(&["watch", &id]).is(0).says("completed");
}

#[test]
fn an_instance_that_is_never_reached_ends_with_4_and_the_run_stays() {
    let place = Place::new();
    // A port that was free a moment ago; the simulated ComfyUI takes it later.
    let address =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").to_string();
    let workflow = place.workflow("01_simple_save");
    let url = format!("http://{address}");
    let ended = place.ends(&["run", &workflow, "--url", &url, "--give-up-after", "1"]).is(4);
    let id = text(&place.only_run(), "run_id");
    ended.warns("error[instance_unreachable]").warns(&format!("comfyd watch {id}")).says("attention unreachable");
    assert_eq!(text(&place.only_run(), "status"), "queued");
    let _comfy = Comfy::at(&address, 20.0);
    place.ends(&["watch", &id]).is(0).says("completed");
}

#[test]
fn outputs_are_fetched_whole_and_never_overwritten() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let kept = std::fs::read(first_output(&place, &comfy)).expect("a picture");
    let id = text(&place.only_run(), "run_id");
    let to = place.path("fetched");
    let fetch = || place.ends(&["outputs", &id, "--to", to.to_str().expect("plain"), "--json"]).is(0).json();
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(&to).expect("there").map(|entry| entry.expect("there").file_name()).collect();
        names.sort();
        names
    };
    let path = text(&fetch()[0], "path");
    assert_eq!(std::fs::read(&path).expect("fetched"), kept);
    let before = names();
    assert_eq!(text(&fetch()[0], "path"), path);
    assert_eq!(names(), before, "the same file is not fetched twice");
    std::fs::write(&path, "mine").expect("written");
    let second = text(&fetch()[0], "path");
    assert_ne!(second, path);
    assert_eq!((std::fs::read(&path).expect("there"), std::fs::read(&second).expect("there")), (b"mine".to_vec(), kept));
}

#[test]
fn copies_go_to_the_output_directory() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let to = place.path("copies");
    let workflow = place.workflow("01_simple_save");
    place.ends(&["run", &workflow, "--url", &comfy.url(), "--output-dir", to.to_str().expect("plain")]).is(0).says("copies/");
    assert_eq!(std::fs::read_dir(&to).expect("there").count(), 1);
}
