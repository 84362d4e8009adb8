//! What goes wrong on the way, in every state of a run: the right ending, and each prompt posted once.

use comfyd_engine::RunView;

use crate::support::{SAMPLE, World};

fn phase(wanted: &'static str) -> impl Fn(&RunView) -> bool {
    move |view| view.phase == wanted
}

/// Kills every session, and waits until comfyd is back.
async fn cut(world: &World) {
    let before = world.logins();
    world.sshd.kill_sessions();
    world.wait_for("back", || world.logins() > before).await;
}

#[tokio::test]
async fn a_session_that_is_killed_in_any_state_costs_nothing() {
    // At its own pace, so that there is time to hit each state.
    let world = World::trusted(&[], 1.0).await;
    let first = world.first;
    world.until(first, "running", phase("running")).await;
    cut(&world).await;
    // A prompt that is on its way just then is in doubt, as it must be; so these come when the way is open again.
    let second = world.run(SAMPLE).await;
    world.until(second, "pending", phase("pending")).await;
    cut(&world).await;
    world.completed(first).await;
    world.until(second, "collecting", |view| matches!(view.phase, "collecting" | "completed")).await;
    world.sshd.kill_sessions();
    for run in [first, second] {
        let view = world.completed(run).await;
        assert!(view.outputs.iter().all(|output| output.downloaded || output.text.is_some()), "{:?}", view.outputs);
        assert_eq!(world.posts_of(run), 1, "{run}");
    }
    world.ends().await;
}

#[tokio::test]
async fn an_sshd_that_is_down_for_a_while_is_told_and_the_run_goes_on() {
    let mut world = World::trusted(&[], 1.0).await;
    let run = world.first;
    world.until(run, "running", phase("running")).await;
    world.sshd.down();
    let lost = |view: &RunView| view.attention.as_ref().is_some_and(|it| it.kind == "unreachable");
    let view = world.until(run, "told that the way is lost", lost).await;
    let message = view.attention.expect("checked").message;
    assert!(message.starts_with("Connection lost. Workflow continues on server."), "{message}");
    world.sshd.up().expect("sshd again");
    let view = world.completed(run).await;
    assert!(view.outputs.iter().all(|output| output.downloaded || output.text.is_some()), "{:?}", view.outputs);
    assert_eq!(world.posts_of(run), 1);
    world.ends().await;
}

#[tokio::test]
async fn a_comfyui_that_is_restarted_behind_it_fails_the_run_that_ran() {
    let world = World::trusted(&[], 1.0).await;
    let run = world.first;
    world.until(run, "running", phase("running")).await;
    world.fake.fake().restart(std::time::Duration::from_millis(1500)).await;
    let view = world.until(run, "over", |view| view.timing.end_time.is_some()).await;
    assert_eq!(view.error.expect("it failed").code, "remote_restarted");
    assert_eq!(world.posts_of(run), 1);
    world.ends().await;
}

/// A machine where SFTP and commands go through a shell that talks first.
fn noisy() -> Vec<String> {
    vec!["Subsystem sftp /usr/lib/openssh/sftp-server".into()]
}

#[tokio::test]
async fn machines_with_narrow_rules_serve_all_the_same() {
    // One session at a time; a banner; no SFTP; start-up files that talk.
    let banner = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(banner.path(), "Welcome to the rental!\n".repeat(200)).expect("written");
    let banner = format!("Banner {}", banner.path().display());
    let noisy = noisy();
    for settings in
        [&["MaxSessions 1"][..], &[&banner], &["Subsystem sftp /bin/false"], &["Subsystem none /bin/true"], &[&noisy[0]]]
    {
        let world = World::trusted(settings, 50.0).await;
        if settings == [noisy[0].as_str()] {
            let talk = "echo Welcome to the rental!\necho 'boot=lies' >&2\n".repeat(50);
            std::fs::write(world.sshd.home().join(".bashrc"), talk).expect("written");
        }
        world.completed(world.first).await;
        // Outputs are looked for in the folder first, where that can be done.
        world.knows_outputs().await;
        let run = world.run(SAMPLE).await;
        let view = world.completed(run).await;
        assert!(view.outputs.iter().all(|output| output.downloaded || output.text.is_some()), "{settings:?}: {:?}", view.outputs);
        assert_eq!(view.warnings, [], "{settings:?}");
        let instance = world.instance_of(run).await;
        let report = world.running.app.test_instance(&instance).await.expect("a verdict");
        assert!(report.ok, "{settings:?}: {:?}", report.steps);
        for run in [world.first, run] {
            assert_eq!(world.posts_of(run), 1, "{settings:?}");
        }
        world.ends().await;
    }
}

#[tokio::test]
async fn forbidden_forwarding_is_told_with_its_remedy() {
    let world = World::trusted(&["AllowTcpForwarding no"], 50.0).await;
    let run = world.first;
    let told = |view: &RunView| view.attention.as_ref().is_some_and(|it| it.message.contains("forbidden"));
    world.until(run, "told", told).await;
    let instance = world.instance_of(run).await;
    let report = world.running.app.test_instance(&instance).await.expect("a verdict");
    let failed = report.steps.iter().find(|step| step.ok == Some(false)).expect("one failed");
    assert_eq!(failed.name, "forward");
    assert!(failed.problem.as_ref().is_some_and(|it| it.hint.contains("AllowTcpForwarding")));
    assert_eq!(world.posts_of(run), 0);
    world.ends().await;
}
