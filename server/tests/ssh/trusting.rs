//! Which machine it is: unknown, accepted, changed, replaced; and what was typed.

use comfyd_server::app::{Execute, Source, Target};
use comfyd_server::instances::{NewInstance, Place, SshWish};
use serde_json::json;

use crate::support::{SAMPLE, World};

#[tokio::test]
async fn a_run_from_zero_waits_for_the_key_to_be_accepted_and_completes() {
    let world = World::new(&[], 50.0).await;
    let run = world.run(SAMPLE).await;
    let waits = world.until(run, "waiting for the key", |view| view.attention.is_some()).await;
    let attention = waits.attention.expect("checked");
    let fingerprint = world.sshd.fingerprint().expect("a fingerprint");
    assert_eq!(attention.kind, "host_key_unknown");
    assert!(attention.message.contains(&fingerprint), "{}", attention.message);
    let action = serde_json::to_value(&attention.actions[0]).expect("JSON");
    let instance = world.instance_of(run).await;
    assert_eq!(action["href"], format!("/api/v1/instances/{instance}/trust"));
    assert_eq!(action["body"], json!({ "fingerprint": fingerprint }));
    assert_eq!(waits.ssh_connection, Some(world.sshd.command()));
    assert!(!world.sshd.log().contains("Accepted"), "nobody logged in before");
    let known = world.instance(&instance);
    assert_eq!(known.obstacle.map(|it| it.kind), Some("host_key_unknown"));
    // Another fingerprint accepts nothing.
    let other = "SHA256:aTEeu1vVnDU+3ntqfxzbXsPMAAj5owBdISajX//5lyo";
    let refused = world.running.app.trust_instance(&instance, other, true).await.expect_err("it presents another one");
    assert_eq!(refused.code, "other_key_presented");
    assert!(refused.message.contains(&fingerprint));
    let view = world.running.app.trust_instance(&instance, &fingerprint, false).await.expect("it presents this one");
    assert_eq!(view.trusted.len(), 1);
    let done = world.completed(run).await;
    assert!(done.outputs.iter().all(|output| output.downloaded || output.text.is_some()), "{:?}", done.outputs);
    assert!(!done.outputs.is_empty());
    assert_eq!(world.posts_of(run), 1);
    // It is known from now on, also after a restart of comfyd.
    let world = world.restarted().await;
    let run = world.run(SAMPLE).await;
    world.completed(run).await;
    assert_eq!(world.posts_of(run), 1);
    assert!(!world.sshd.home().join(".ssh/known_hosts").exists(), "the user's file is not written");
    world.ends().await;
}

#[tokio::test]
async fn a_changed_key_stops_the_run_until_it_is_replaced_on_purpose() {
    let mut world = World::trusted(&[], 50.0).await;
    let first = world.first;
    world.completed(first).await;
    let before = world.sshd.fingerprint().expect("a fingerprint");
    world.sshd.new_host_key("rsa").expect("a key");
    world.sshd.restart().expect("sshd again");
    let now = world.sshd.fingerprint().expect("a fingerprint");
    // What is posted before that is noticed would be in doubt, as it must be.
    let instance = world.instance_of(first).await;
    world.wait_for("noticed", || world.instance(&instance).obstacle.is_some()).await;
    let run = world.run(SAMPLE).await;
    let stopped = |view: &comfyd_engine::RunView| view.attention.as_ref().is_some_and(|it| it.kind == "host_key_changed");
    let waits = world.until(run, "stopped by the key", stopped).await;
    let message = waits.attention.expect("checked").message;
    assert!(message.contains(&before) && message.contains(&now), "{message}");
    let refused = world.running.app.trust_instance(&instance, &now, false).await.expect_err("it changed");
    assert_eq!(refused.code, "host_key_changed");
    let view = world.running.app.trust_instance(&instance, &now, true).await.expect("on purpose");
    assert_eq!(view.trusted.iter().map(|key| key.fingerprint.clone()).collect::<Vec<_>>(), [now]);
    world.completed(run).await;
    assert_eq!(world.posts_of(run), 1);
    world.ends().await;
}

#[tokio::test]
async fn a_machine_that_is_not_there_presents_no_key_and_that_is_said() {
    let mut world = World::new(&[], 50.0).await;
    let place = Place::Ssh(world.wish());
    let new = NewInstance { name: "rental".parse().expect("a name"), place, label: None, default: true };
    world.running.app.add_instance(new).await.expect("it is added");
    let fingerprint = world.sshd.fingerprint().expect("a fingerprint");
    world.sshd.down();
    let refused = world.running.app.trust_instance("rental", &fingerprint, false).await.expect_err("nobody is there");
    assert_eq!((refused.status, &*refused.code), (502, "ssh_unreachable"), "{}", refused.message);
    // It is asked anew each time: a rental that has just booted is not taken for what it was.
    world.sshd.up().expect("it is there again");
    let view = world.running.app.trust_instance("rental", &fingerprint, false).await.expect("it presents this key");
    assert_eq!(view.trusted.len(), 1);
    let again = world.running.app.trust_instance("rental", &fingerprint, false).await.expect("it is trusted already");
    assert_eq!(again.trusted.len(), 1);
    let refused = world.running.app.trust_instance("rental", "SHA256:other", false).await.expect_err("it is not that one");
    assert_eq!((refused.status, &*refused.code), (409, "no_key_presented"), "{}", refused.message);
    world.ends().await;
}

#[tokio::test]
async fn a_removed_machine_is_a_stranger_when_it_comes_back() {
    let world = World::trusted(&[], 50.0).await;
    let first = world.first;
    world.completed(first).await;
    let instance = world.instance_of(first).await;
    world.running.app.remove_instance(&instance).await.expect("nothing needs it");
    let run = world.run(SAMPLE).await;
    let waits = world.until(run, "waiting for the key", |view| view.attention.is_some()).await;
    assert_eq!(waits.attention.map(|it| it.kind), Some("host_key_unknown"));
    world.ends().await;
}

#[tokio::test]
async fn an_encrypted_key_waits_for_its_passphrase_which_is_kept_nowhere() {
    const CANARY: &str = "hunter2-canary-of-the-key";
    let world = World::new(&[], 50.0).await;
    let key = world.sshd.home().join(".ssh/id_ed25519");
    world.sshd.make_key(&key, "ed25519", CANARY).expect("a key");
    world.sshd.authorize(&[key]).expect("authorized");
    let run = world.run(SAMPLE).await;
    let instance = world.instance_of(run).await;
    world.until(run, "waiting", |view| view.attention.is_some()).await;
    let fingerprint = world.sshd.fingerprint().expect("a fingerprint");
    world.running.app.trust_instance(&instance, &fingerprint, false).await.expect("it presents this key");
    let locked = |view: &comfyd_engine::RunView| view.attention.as_ref().is_some_and(|it| it.kind == "key_locked");
    world.until(run, "waiting for the passphrase", locked).await;
    let secret = comfyd_adapters::ssh::Secret::new(CANARY.to_owned());
    world.running.app.unlock_instance(&instance, Some(secret), None).expect("it is over SSH");
    let view = world.completed(run).await;
    let shown = serde_json::to_string(&view).expect("JSON") + &serde_json::to_string(&world.instance(&instance)).expect("JSON");
    assert!(!shown.contains("canary"));
    let World { running, dir, .. } = world;
    running.stop();
    running.join().await.expect("it ends well");
    // Neither log nor state has it.
    let mut folders = vec![dir.path().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let bytes = std::fs::read(&entry).expect("a file");
                assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{}", entry.display());
            }
        }
    }
}

#[tokio::test]
async fn the_test_walks_the_steps_and_says_which_one_failed() {
    let world = World::new(&[], 50.0).await;
    let place = Place::Ssh(world.wish());
    let new = NewInstance { name: "rental".parse().expect("a name"), place: place.clone(), label: None, default: true };
    world.running.app.add_instance(new).await.expect("it is added");
    let report = world.running.app.test_instance("rental").await.expect("a verdict");
    let failed = |report: &comfyd_server::instances::TestReport| {
        report.steps.iter().find(|step| step.ok == Some(false)).map(|step| (step.name, step.problem.as_ref().map(|it| it.code)))
    };
    assert_eq!(failed(&report), Some(("host_key", Some("host_key_unknown"))));
    let fingerprint = world.sshd.fingerprint().expect("a fingerprint");
    assert_eq!(report.host_key.expect("it presented one").fingerprint, fingerprint);
    world.running.app.trust_instance("rental", &fingerprint, false).await.expect("it presents this one");
    let report = world.running.app.test_instance("rental").await.expect("a verdict");
    assert!(report.ok, "{:?}", report.steps);
    let names: Vec<&str> = report.steps.iter().map(|step| step.name).collect();
    assert_eq!(
        names,
        ["resolve", "connect", "host_key", "auth", "forward", "http", "version", "websocket", "queue", "gpu", "disk"]
    );
    // A run that names the machine goes to the instance of that name, and one that names nothing too.
    let run = world.run(SAMPLE).await;
    assert_eq!(world.instance_of(run).await, "rental");
    world.completed(run).await;
    // A stranger's key, a port that nobody listens on, a machine that is gone.
    world.sshd.make_key(&world.sshd.home().join(".ssh/id_ed25519"), "ed25519", "").expect("a key");
    world.sshd.authorize(&[]).expect("nobody");
    world.running.app.remove_instance("rental").await.expect("nothing needs it");
    let report = world.running.app.test_place(&place).await.expect("a verdict");
    assert_eq!(failed(&report), Some(("host_key", Some("host_key_unknown"))), "nothing was accepted for no instance");
    world.ends().await;
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_and_a_refused_login_are_told_apart() {
    let world = World::trusted(&[], 50.0).await;
    let first = world.first;
    world.completed(first).await;
    let instance = world.instance_of(first).await;
    world.fake.fake().kill();
    let code = async || {
        let report = world.running.app.test_instance(&instance).await.expect("a verdict");
        report.steps.into_iter().find_map(|step| Some((step.name, step.problem?.code)))
    };
    assert!(matches!(code().await, Some(("forward" | "http", "port_refused" | "connection_lost"))), "{:?}", code().await);
    world.fake.fake().start();
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while let Some(still) = code().await {
        assert!(tokio::time::Instant::now() < deadline, "it is up, and {still:?}");
    }
    world.sshd.authorize(&[]).expect("nobody");
    world.sshd.kill_sessions();
    assert_eq!(code().await, Some(("auth", "auth_failed")));
    world.ends().await;
}

#[tokio::test]
async fn a_run_that_names_the_machine_otherwise_changes_nothing_for_others() {
    let world = World::trusted(&[], 1.0).await;
    let first = world.first;
    world.until(first, "running", |view| view.phase == "running").await;
    let text = comfyd_fixtures::workflows::named(SAMPLE).expect("a fixture").json.to_owned();
    let with = |wish: SshWish| Execute {
        target: Some(Target::Ssh(wish)),
        ..Execute::new(Source::Inline { text: text.clone(), file: None })
    };
    let key = world.sshd.home().join(".ssh/other").display().to_string();
    let refused = world.running.app.execute(with(SshWish { identity: Some(key), ..world.wish() })).await;
    assert_eq!(refused.expect_err("the other run goes on as it began").code, "instance_busy");
    let second = world.running.app.execute(with(world.wish())).await.expect("it says nothing else").run_id;
    for run in [first, second] {
        world.completed(run).await;
        assert_eq!(world.posts_of(run), 1);
    }
    world.ends().await;
}

#[tokio::test]
async fn who_tries_another_key_stands_in_nobodys_way() {
    let world = World::trusted(&[], 50.0).await;
    world.completed(world.first).await;
    let instance = world.instance_of(world.first).await;
    world.sshd.authorize(&[]).expect("nobody");
    let connected = world.instance(&instance).state;
    world.sshd.kill_sessions();
    // Before that a prompt could be sent on its last way, and nobody would know what became of it.
    world.wait_for("lost", || world.instance(&instance).state != connected).await;
    let run = world.run_on(&instance).await;
    let refused = |view: &comfyd_engine::RunView| view.attention.as_ref().is_some_and(|it| it.kind == "auth_failed");
    world.until(run, "refused", refused).await;
    let other = world.sshd.folder().join("other");
    world.sshd.make_key(&other, "ed25519", "").expect("a key");
    let place = Place::Ssh(SshWish { identity: Some(other.display().to_string()), ..world.wish() });
    let report = world.running.app.test_place(&place).await.expect("a verdict");
    assert!(!report.ok, "{:?}", report.steps);
    // The key is put right at the machine, and somebody looks: the run goes on.
    world.sshd.authorize(&[world.sshd.key()]).expect("authorized");
    let report = world.running.app.test_instance(&instance).await.expect("a verdict");
    assert!(report.ok, "{:?}", report.steps);
    world.completed(run).await;
    world.ends().await;
}
