//! A data directory that goes away under a running server: it says so, promises nothing more, and does not fall over.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{House, Server, refuses, sample, until};
use crate::namespace::{Mounted, Rights, mount, skipped, within};
use crate::support::{Comfy, Place};

/// It lives, is not ready, and says why.
fn is_lost(server: &Server, says: &[&str]) {
    let ready = until("the server notices", || Some(server.get("/readyz")).filter(|answer| answer.status == 503));
    let told = ready.json();
    assert_eq!((&told["success"], &told["state"]), (&json!(false), &json!("read_only")), "{told:#}");
    let why = told["why"].as_str().expect("a reason");
    for wanted in says {
        assert!(why.contains(wanted), "no `{wanted}` in {why}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_data_directory_that_is_removed_is_noticed_without_any_request() {
    let house = House::with(Comfy::slow());
    assert_eq!(house.server.get("/readyz").status, 200);
    std::fs::remove_dir_all(house.place.data()).expect("removed");
    is_lost(&house.server, &["gone", "data directory"]);
    assert_eq!(house.comfy.fake.ledger().posts(), 0);
    house.server.stop();
}

#[test]
fn nothing_is_acknowledged_without_a_data_directory() {
    let house = House::with(Comfy::slow());
    let run = house.server.run(&json!({ "workflow": sample("20_custom_slow_previews") }));
    house.server.sees(&run, |view| view["phase"] == "running");
    std::fs::rename(house.place.data(), house.place.path("elsewhere")).expect("moved");
    let wish = json!({ "workflow": sample("06_text") }).to_string();
    let first = house.server.execute(&wish);
    assert_eq!(first.status, 503, "{}", first.text());
    is_lost(&house.server, &["gone"]);
    house.server.execute(&wish).refuses(503, "read_only", &["gone", "restart comfyd"]);
    house.server.ask("POST", &format!("/api/v1/runs/{run}/cancel"), b"").refuses(503, "read_only", &["gone", "restart comfyd"]);
    let file = house.place.workflow("06_text");
    let url = format!("http://{}", house.server.address);
    let token = house.place.path("elsewhere/token").display().to_string();
    let args = ["run", &file, "--server", &url, "--token-file", &token];
    refuses(&house.place.ends(&args), &args, 1, "read_only", &["restart comfyd"]);
    assert_eq!(house.comfy.fake.ledger().posts(), 1, "nothing was posted that is not recorded");
    let House { server, comfy, place } = house;
    server.stop();
    // Put back, everything that was acknowledged is there, and goes on.
    std::fs::rename(place.path("elsewhere"), place.data()).expect("moved back");
    let server = Server::start(&place, &["--url", &comfy.url()]);
    assert_eq!(server.ended(&run)["status"], "completed");
    assert_eq!(comfy.fake.ledger().posts(), 1);
    server.stop();
}

#[test]
fn a_disk_that_turns_read_only_is_told_and_keeps_what_was_acknowledged() {
    const NAME: &str = "lost_disk::a_disk_that_turns_read_only_is_told_and_keeps_what_was_acknowledged";
    within(NAME, Rights::Devices, || {
        let place = Place::new();
        let image = place.path("disk.img");
        std::fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("made");
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output();
        if !made.is_ok_and(|output| output.status.success()) {
            return skipped(NAME, "no mkfs.ext4");
        }
        let image = image.display().to_string();
        // A disk with bad blocks does this to itself: from now on nothing can be written.
        let disk = match Mounted::new(&["-o", "loop", &image], &place.data()) {
            Ok(disk) => disk,
            Err(error) => return skipped(NAME, &format!("no loop devices: {error}")),
        };
        rustix::fs::chmod(place.data(), rustix::fs::Mode::RWXU).expect("ours");
        let comfy = Comfy::slow();
        let serve = ["--url", &comfy.url(), "--min-free-mib", "0"];
        let server = Server::start(&place, &serve);
        let done = server.run(&json!({ "workflow": sample("01_simple_save") }));
        assert_eq!(server.ended(&done)["status"], "completed");
        let run = server.run(&json!({ "workflow": sample("20_custom_slow_previews") }));
        server.sees(&run, |view| view["phase"] == "running");
        if let Err(error) = mount(&["-o", "remount,abort"], &place.data()) {
            return skipped(NAME, &format!("the disk cannot be broken: {error}"));
        }
        let wish = json!({ "workflow": sample("06_text") }).to_string();
        let answer = until("the server notices", || Some(server.execute(&wish)).filter(|answer| answer.status == 503));
        assert_eq!(answer.json()["success"], false);
        is_lost(&server, &["written"]);
        server.execute(&wish).refuses(503, "read_only", &["restart comfyd"]);
        server.ask("POST", &format!("/api/v1/runs/{run}/cancel"), b"").refuses(503, "read_only", &["restart comfyd"]);
        let listed: Vec<Value> = server.runs();
        assert_eq!(listed.len(), 2, "what is known is still shown");
        server.stop();

        drop(disk);
        let repaired = Command::new("e2fsck").args(["-fy", &image]).output().expect("it comes with mkfs.ext4");
        assert!(repaired.status.code().is_some_and(|code| code < 4), "{repaired:?}");
        let _disk = Mounted::new(&["-o", "loop", &image], &place.data()).expect("it could be mounted before");
        let server = Server::start(&place, &serve);
        assert_eq!(server.view(&done)["status"], "completed");
        assert_eq!(server.ended(&run)["status"], "completed", "the run went on meanwhile");
        assert_eq!(comfy.fake.ledger().posts(), 2, "each was posted once");
        server.stop();
    });
}
