//! Where outputs come from: SFTP where the folder is known, else `/view`.

use comfyd_fixtures::Folder;
use comfyd_server::instances::{Place, SetInstance, SshWish};

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
    let wish = SshWish { output_dir: Some(folder.display().to_string()), ..world.wish() };
    let change = SetInstance { place: Some(Place::Ssh(wish)), ..SetInstance::default() };
    world.running.app.set_instance(&instance, change).await.expect("the machine stays the same");
    assert_eq!(world.instance(&instance).trusted.len(), 1, "and so does its key");
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
