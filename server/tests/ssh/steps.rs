//! Steps of a list that work on the machine itself.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, World};

/// A request as a page makes it.
async fn request(world: &World, method: &str, path: &str, body: &Value) -> Value {
    let (address, body) = (world.running.addr, body.to_string());
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        world.running.token,
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

async fn start(world: &World, name: &str, steps: Value) {
    let instance = world.instance_of(world.first).await;
    begin(world, json!({ "workflow_id": name, "step_delay": 0, "instance": instance, "steps": steps })).await;
}

async fn begin(world: &World, body: Value) {
    let answer = request(world, "POST", "/workflow/start", &body).await;
    assert_eq!(answer["success"], true, "{answer}");
}

/// The state, as soon as it is as wanted.
async fn until(world: &World, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = request(world, "GET", &format!("/workflow/state?workflow_id={name}"), &Value::Null).await;
        let state = &answer["state"];
        if wanted(state) {
            return state.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "not {what}: {answer:#}\n{}", world.sshd.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn step_is(n: usize, status: &'static str) -> impl Fn(&Value) -> bool {
    move |state| state["steps"][n]["status"] == status
}

fn note(state: &Value, n: usize) -> String {
    state["steps"][n]["completion_note"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a file is there, so that a command is known to be where the test wants it.
async fn there(world: &World, path: &Path) {
    world.wait_for("there", || path.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_and_files_come_and_their_output_is_shown() {
    let world = World::trusted(&[], 50.0).await;
    let file = world.dir.path().join("it's a file.txt");
    let flag = world.dir.path().join("flag");
    let wait =
        format!("echo begun; while ! [ -e '{}' ]; do sleep 0.02; done; echo 1 >&2; cat \"{}\"", flag.display(), file.display());
    let steps = json!([
        { "action": "test_ssh" },
        { "action": "upload_file", "to": file.display().to_string(), "text": "it is here\n" },
        { "action": "run_command", "command": wait },
        { "action": "set_ui_home", "path": world.dir.path().display().to_string() },
        { "action": "get_ui_home" },
        { "action": "run_command", "command": "echo no; exit 3" },
        { "action": "run_command", "command": "kill -9 $$" },
        { "action": "reboot_instance" },
    ]);
    start(&world, "all", steps).await;
    let state = until(&world, "all", "shown while it runs", |state| note(state, 2).contains("begun")).await;
    assert_eq!(state["steps"][2]["status"], "in_progress");
    std::fs::write(&flag, "").expect("written");
    let state = until(&world, "all", "failed", step_is(5, "failed")).await;
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "it is here\n");
    assert!(note(&state, 0).contains("Linux"), "{state:#}");
    let lines = note(&state, 2);
    assert!(["begun", "1", "it is here"].iter().all(|line| lines.lines().any(|said| said == *line)), "{lines}");
    assert_eq!(note(&state, 4), format!("UI_HOME={}", world.dir.path().display()));
    assert_eq!(state["steps"][5]["error"]["code"], "command_failed");
    assert!(state["steps"][5]["error"]["message"].as_str().is_some_and(|it| it.contains("status 3") && it.contains("no")));

    // What failed runs again when the list goes on, or is left out.
    request(&world, "POST", "/workflow/resume", &json!({ "workflow_id": "all", "skip": [5] })).await;
    let state = until(&world, "all", "failed", step_is(6, "failed")).await;
    assert!(state["steps"][6]["error"]["message"].as_str().is_some_and(|it| it.contains("status 137")), "{state:#}");
    request(&world, "POST", "/workflow/resume", &json!({ "workflow_id": "all", "skip": [6] })).await;
    let state = until(&world, "all", "blocked", step_is(7, "blocked")).await;
    assert_eq!(state["steps"][7]["error"]["code"], "command_missing");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_command() {
    let world = World::trusted(&[], 50.0).await;
    let flag = world.dir.path().join("begun");
    let ended = world.dir.path().join("ended");
    let command =
        format!("trap 'touch {}; exit 9' TERM; touch {}; while :; do sleep 0.02; done", ended.display(), flag.display());
    start(&world, "long", json!([{ "action": "run_command", "command": command }, { "action": "wait", "seconds": 600 }])).await;
    there(&world, &flag).await;
    request(&world, "POST", "/workflow/stop", &json!({ "workflow_id": "long" })).await;
    let state = until(&world, "long", "stopped", |state| state["status"] == "cancelled").await;
    assert!(ended.exists(), "it was told to end");
    assert_eq!(state["steps"][0]["tasks"][0]["note"], "told to end: it ended with status 9", "{state:#}");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_not_taken_for_done_and_not_run_again_by_itself() {
    let world = World::trusted(&[], 50.0).await;
    let began = world.dir.path().join("began");
    // What nobody waits for any more ends with the test.
    let folder = world.dir.path().display();
    let command = format!("echo x >> {}; while [ -d {folder} ] && ! [ -e {folder}/go ]; do sleep 0.1; done", began.display());
    let times = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    start(&world, "cut", json!([{ "action": "run_command", "command": command }])).await;
    there(&world, &began).await;
    world.sshd.kill_sessions();
    let state = until(&world, "cut", "blocked", step_is(0, "blocked")).await;
    assert_eq!(state["steps"][0]["error"]["code"], "step_unknown", "{state:#}");
    assert_eq!(times(&began), 1);

    // The end of comfyd in the middle is no better.
    request(&world, "POST", "/workflow/resume", &json!({ "workflow_id": "cut" })).await;
    world.wait_for("again", || times(&began) == 2).await;
    let world = world.restarted().await;
    let state = until(&world, "cut", "blocked", step_is(0, "blocked")).await;
    assert_eq!(state["steps"][0]["error"]["code"], "step_unknown", "{state:#}");
    assert_eq!(times(&began), 2);
    std::fs::write(world.dir.path().join("go"), "").expect("written");
    request(&world, "POST", "/workflow/resume", &json!({ "workflow_id": "cut" })).await;
    until(&world, "cut", "completed", |state| state["status"] == "completed").await;
    assert_eq!(times(&began), 3);
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_nobody_trusts_blocks_the_step() {
    let world = World::new(&[], 50.0).await;
    let body = json!({ "workflow_id": "new", "ssh_connection": world.command(), "steps": [{ "action": "test_ssh" }] });
    begin(&world, body).await;
    let state = until(&world, "new", "blocked", step_is(0, "blocked")).await;
    assert_eq!(state["steps"][0]["error"]["code"], "host_key_unknown", "{state:#}");
    let fingerprint = world.sshd.fingerprint().expect("a fingerprint");
    let instance = world.running.app.instances().first().expect("it is known").name.to_string();
    world.running.app.trust_instance(&instance, &fingerprint, false).await.expect("it presents this key");
    request(&world, "POST", "/workflow/resume", &json!({ "workflow_id": "new" })).await;
    until(&world, "new", "completed", |state| state["status"] == "completed").await;
    world.ends().await;
}
