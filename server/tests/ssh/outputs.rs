//! Where outputs come from: SFTP where the folder is known, else `/view`.

use comfyd_fixtures::Folder;

use crate::support::World;

#[tokio::test]
async fn outputs_come_by_sftp_where_the_folder_is_known_and_else_by_view() {
    let world = World::trusted(&[], 50.0).await;
    let by_view = world.completed(world.first).await;
    let stored = by_view.outputs.iter().find(|output| output.folder == "output" && output.downloaded).expect("a file");
    let bytes = world.fake.fake().file(Folder::Output, &stored.subfolder, &stored.filename).expect("it has it");
    assert_eq!(stored.size, Some(bytes.len() as u64), "it came as ComfyUI sends it");

    // A folder with other bytes under the names that come next: whoever gets those read the folder.
    let folder = world.dir.path().join("out");
    std::fs::create_dir_all(folder.join(&stored.subfolder)).expect("a folder");
    let (prefix, ending) = stored.filename.split_once("_000").expect("a number");
    let marked = format!("\u{89}PNG\r\n\u{1a}\n{}", "read from the folder\n".repeat(50_000));
    for n in 0..100 {
        let name = format!("{prefix}_{n:05}{}", &ending[ending.find('_').expect("an underscore")..]);
        std::fs::write(folder.join(&stored.subfolder).join(name), &marked).expect("written");
    }
    let instance = world.instance_of(world.first).await;
    world.outputs_in(&folder).await;
    let run = world.run_on(&instance).await;
    let view = world.completed(run).await;
    let read = view.outputs.iter().find(|output| output.folder == "output" && output.downloaded).expect("a file");
    assert_eq!(read.size, Some(marked.len() as u64), "{read:?}");

    // Without the file in the folder ComfyUI itself is asked.
    std::fs::remove_dir_all(&folder).expect("removed");
    std::fs::create_dir(&folder).expect("a folder");
    let run = world.run_on(&instance).await;
    let view = world.completed(run).await;
    let sent = view.outputs.iter().find(|output| output.folder == "output" && output.downloaded).expect("a file");
    assert_eq!(sent.size, stored.size);
    for run in [world.first, run] {
        assert_eq!(world.posts_of(run), 1);
    }
    world.ends().await;
}

/// How large the output is that is cut in the middle.
const LARGE: usize = 24 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_output_that_is_cut_in_the_middle_goes_on_where_it_ended() {
    for frozen in [false, true] {
        let world = World::wired(&[], 50.0).await;
        world.completed(world.first).await;
        let folder = world.dir.path().join("out");
        let bytes: Vec<u8> = (0..LARGE).map(|n| u8::try_from(n % 251).expect("small")).collect();
        std::fs::create_dir_all(folder.join("comfyd")).expect("a folder");
        for n in 1..9 {
            std::fs::write(folder.join(format!("comfyd/simple_{n:05}_.png")), &bytes).expect("written");
        }
        world.outputs_in(&folder).await;
        let instance = world.instance_of(world.first).await;
        let report = world.running.app.test_instance(&instance).await.expect("a verdict");
        assert!(report.ok, "{:?}", report.steps);
        // Everything else of this run is small.
        let before = world.wire().came();
        world.wire().silence_after(LARGE as u64 / 2);
        let run = world.run("01_simple_save").await;
        world.wire().silent().await;
        let logins = world.logins();
        if frozen {
            world.sshd.freeze_sessions();
        } else {
            world.sshd.kill_sessions();
        }
        world.wire().open();
        let view = world.completed(run).await;
        assert!(world.logins() > logins);
        let output = view.outputs.iter().find(|output| output.downloaded).expect("a file");
        assert_eq!(output.size, Some(LARGE as u64));
        let kept = world.running.app.output(run, output.n).await.expect("it is stored");
        assert!(std::fs::read(kept.path).expect("it is there") == bytes, "it is the same to the last byte");
        let came = world.wire().came() - before;
        assert!(came < (LARGE + LARGE / 4) as u64, "{came} bytes came for {LARGE}: it began anew");
        assert_eq!(world.posts_of(run), 1);
        world.ends().await;
    }
}
