//! A shell as a reader of the guides has it: comfyd on the path, a ComfyUI that listens, a workflow in the folder.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use comfyd_fixtures::sshd::Sshd;

use super::blocks;
use crate::support::{Comfy, Ended, Place};

/// The ports that stand in the guides, and are replaced: the tests take free ones.
const COMFYUI: &str = ":8188";
const COMFYD: &str = ":8787";

/// Everything that a guide needs.
pub(crate) struct Shell {
    comfy: Comfy,
    place: Place,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let (comfy, place) = (Comfy::fast(), Place::new());
        for (name, file) in
            [("01_simple_save", "workflow.json"), ("07_load_image", "load-image.json"), ("20_custom_slow_previews", "slow.json")]
        {
            let text = comfyd_fixtures::workflows::named(name).expect("a fixture").json;
            std::fs::write(place.path(file), text).expect("written");
        }
        let files = [
            ("photo.png", "resources/workflows/txt2img_basic/preview.png"),
            ("curl.sh", "docs/curl.sh"),
            ("comfyd.service", "resources/systemd/comfyd.service"),
        ];
        for (name, file) in files {
            std::fs::copy(blocks::root().join(file), place.path(name)).expect("copied");
        }
        Self { comfy, place }
    }

    /// The same with a machine that is reached over SSH, where the ComfyUI listens.
    pub(crate) fn run_beside_a_machine(&self, name: &str, script: &str) -> String {
        let sshd = Sshd::start(&[]).expect("sshd");
        std::fs::create_dir_all(self.place.path(".ssh")).expect("a folder");
        std::fs::copy(sshd.key(), self.place.path(".ssh/id_ed25519")).expect("copied");
        let comfyui = self.comfy.url();
        let comfyui = comfyui.rsplit_once(':').expect("an address with a port").1;
        let script = script.replace("ssh -p 40738 root@198.51.100.7", &sshd.command()).replace("18188", comfyui);
        self.run(name, &script)
    }

    /// Runs a script to its end; every command must succeed. Gives what it printed.
    pub(crate) fn run(&self, name: &str, script: &str) -> String {
        let comfyui = self.comfy.url();
        let comfyui = comfyui.rsplit_once(':').expect("an address with a port").1;
        let comfyd = free_address();
        let port = comfyd.rsplit_once(':').expect("an address with a port").1;
        let script = script.replace(COMFYUI, &format!(":{comfyui}")).replace(COMFYD, &format!(":{port}"));
        // Whatever a guide leaves running is its own child.
        let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\nset -euxo pipefail\n{script}");
        let binary = Path::new(env!("CARGO_BIN_EXE_comfyd")).parent().expect("a folder");
        let home = self.place.path("");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binary.display());
        let child = Command::new("bash")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", path)
            .env("HOME", &home)
            .env("TZ", "UTC")
            .env("COMFYD_SERVER__LISTEN", &comfyd)
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash");
        let ended = Ended::of(child, &[name]);
        assert_eq!(ended.code, Some(0), "{name}\nout: {}\nerr: {}", ended.out, ended.err);
        ended.out
    }
}

/// An address that was free a moment ago.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}
