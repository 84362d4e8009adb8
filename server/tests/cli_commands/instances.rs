//! `comfyd instances`.

use std::net::TcpListener;

use crate::support::{Comfy, Place, text};

#[test]
fn instances_are_kept_and_used() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let url = comfy.url();
    place.ends(&["instances"]).is(0).bare().says("No instances yet");
    place.ends(&["instances", "add", "gpu-1", "--url", &url, "--default", "--label", "Big"]).is(0).says("Added gpu-1");
    place.ends(&["instances", "list"]).is(0).bare().says(&url).says("default").says("Big").says("idle");
    place.ends(&["instances", "add", "gpu-1", "--url", "http://127.0.0.1:9"]).is(1).warns("instance_exists");
    place.ends(&["instances", "add", "G P", "--url", "http://127.0.0.1:9"]).is(2).warns("a-z 0-9");
    place.ends(&["instances", "edit", "gpu-1"]).is(2).warns("--label");
    place.ends(&["instances", "edit", "gpu-1", "--label", "", "--no-default"]).is(0).says("Changed gpu-1");
    let listed = place.ends(&["instances", "--json"]).is(0).json();
    assert_eq!((listed.len(), &listed[0]["label"], &listed[0]["default"]), (1, &serde_json::Value::Null, &false.into()));

    let flow = place.workflow("06_text");
    let ran = place.ends(&["run", &flow, "--instance", "gpu-1", "--json"]).is(0).json();
    assert_eq!(text(ran.last().expect("a final state"), "instance"), "gpu-1");
    place.ends(&["run", &flow, "--instance", "gpu-2"]).is(2).warns("Did you mean `gpu-1`");
    place.ends(&["instances", "rm", "gpu-1"]).is(0).says("its runs stay");
    place.ends(&["instances", "rm", "gpu-1"]).is(2).warns("unknown_instance");
    assert_eq!(text(&place.only_run(), "status"), "completed");
}

#[test]
fn a_test_says_how_far_it_gets() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    place.ends(&["instances", "add", "good", "--url", &comfy.url()]).is(0);
    place.ends(&["instances", "test", "good"]).is(0).bare().says("websocket").says("Runs can go to");
    place.ends(&["instances", "test", &comfy.url()]).is(0);
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has an address");
    let gone = format!("http://{closed}");
    place.ends(&["instances", "test", &gone]).is(4).bare().says("failed").says("hint:").says("No ComfyUI is reached");
    let report = place.ends(&["instances", "test", &gone, "--json"]).is(4).json();
    assert_eq!((report.len(), &report[0]["reachable"]), (1, &false.into()));
    place.ends(&["instances", "test", "nobody"]).is(2).warns("unknown_instance");
    place.ends(&["instances", "test", "http://169.254.169.254:80"]).is(2).warns("address_refused");
}
