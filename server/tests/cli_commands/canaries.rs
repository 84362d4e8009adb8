//! Secrets that would be recognised wherever they came out: passphrase, password, private key, token.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use comfyd_fixtures::sshd::Sshd;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Comfy, DEADLINE, Ended, Place, answer, text};

const PASSPHRASE: &str = "canary pass/phrase+1";
const PASSWORD: &str = "canary pass/word+2";
const TOKEN: &str = "canarytokencanarytokencanarytokencanarytoken";

/// What to look for: each as it is, in base64 and escaped for an address.
fn disguises(secret: &str) -> Vec<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut found = vec![secret.as_bytes().to_vec()];
    let escaped: String =
        secret.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    found.extend([escaped.to_lowercase().into_bytes(), escaped.into_bytes()]);
    // Wherever it begins within three bytes, without the letters that its neighbours share.
    for lead in 0..3 {
        let bytes = &secret.as_bytes()[lead..];
        let whole = bytes.chunks_exact(3).flat_map(|three| {
            let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| LETTERS[bits >> shift & 63])
        });
        found.push(whole.collect());
    }
    found
}

struct Watch(Vec<(String, Vec<u8>)>);

impl Watch {
    fn over(secrets: &[(&str, &str)]) -> Self {
        let all = secrets.iter().flat_map(|(name, secret)| disguises(secret).into_iter().map(|it| ((*name).to_owned(), it)));
        Self(all.collect())
    }

    fn found(&self, bytes: impl AsRef<[u8]>) -> Option<&str> {
        let inside = |secret: &[u8]| bytes.as_ref().windows(secret.len()).any(|window| window == secret);
        self.0.iter().find(|(_, secret)| inside(secret)).map(|(name, _)| name.as_str())
    }

    fn clean(&self, place: &str, bytes: impl AsRef<[u8]>) {
        if let Some(name) = self.found(bytes) {
            panic!("the {name} came out in {place}");
        }
    }

    fn clean_below(&self, folder: &Path, but: &[&str]) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if entry.is_dir() {
                files += self.clean_below(&entry, but);
            } else if !but.contains(&name.as_str()) {
                self.clean(&entry.display().to_string(), std::fs::read(&entry).expect("a file"));
                files += 1;
            }
        }
        files
    }
}

/// A command that is told a secret by its standard input.
fn told(place: &Place, args: &[&str], secret: &str) -> Ended {
    let mut command = place.comfyd(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    writeln!(child.stdin.take().expect("a pipe"), "{secret}").expect("told");
    Ended::of(child, args)
}

/// A server that logs whatever it can.
struct Serving(Child, PathBuf);

impl Serving {
    fn in_place(place: &Place) -> Self {
        let log = place.path("server.log");
        let token = place.file("token-file", TOKEN);
        let mut permissions = std::fs::metadata(&token).expect("it is there").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
        std::fs::set_permissions(&token, permissions).expect("only ours");
        let mut command = place.comfyd(&["serve", "--listen", "127.0.0.1:0", "--token-file", &token]);
        command.env("RUST_LOG", "debug").env("COMFYD_SERVER__LOG_FORMAT", "json").stdout(Stdio::null());
        let serving = Self(command.stderr(File::create(&log).expect("a file")).spawn().expect("it starts"), log);
        let began = std::time::Instant::now();
        while !place.data().join("server.json").exists() {
            assert!(began.elapsed() < DEADLINE, "it does not listen: {}", serving.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        serving
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.1).expect("a log")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let id = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id")).expect("not 0");
        // It may have ended.
        let _ = kill_process(id, Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn no_secret_comes_out_anywhere() {
    let (comfy, place) = (Comfy::fast(), Place::new());
    let sshd = Sshd::start(&["PasswordAuthentication yes"]).expect("sshd");
    std::fs::create_dir_all(place.path(".ssh")).expect("a folder");
    let key = place.path(".ssh/id_ed25519");
    sshd.make_key(&key, "ed25519", PASSPHRASE).expect("a key");
    sshd.authorize(std::slice::from_ref(&key)).expect("authorized");
    let plain = sshd.folder().join("plain");
    sshd.make_key(&plain, "ed25519", "").expect("a key");
    let keys = [std::fs::read_to_string(&key).expect("a key"), std::fs::read_to_string(&plain).expect("a key")];
    // The first line of each begins alike for all keys.
    let body: Vec<&str> = keys.iter().flat_map(|text| text.lines().filter(|line| !line.starts_with("--")).skip(1)).collect();
    let secrets = [("passphrase", PASSPHRASE), ("password", PASSWORD), ("token", TOKEN)];
    let secrets: Vec<(&str, &str)> = secrets.into_iter().chain(body.iter().map(|line| ("private key", *line))).collect();
    let watch = Watch::over(&secrets);
    let disguised =
        ["x canary pass/word+2 y", "eGNhbmFyeSBwYXNzL3dvcmQrMg==", "?q=canary%20pass%2fword%2b2", "?q=canary%20pass%2Fword%2B2"];
    for text in disguised {
        assert_eq!(watch.found(text), Some("password"), "{text}");
    }
    assert_eq!(watch.found("canary"), None);

    let serving = Serving::in_place(&place);
    // Where the commands below look for it.
    std::fs::write(place.data().join("token"), TOKEN).expect("written");
    let url = comfy.url();
    let port = url.rsplit_once(':').expect("a port").1;
    let flow = place.workflow("01_simple_save");
    let mut said = Vec::new();
    let mut note = |ended: Ended| said.push(format!("{}{}", ended.out, ended.err));
    note(place.ends(&["run", &flow, "--ssh", &sshd.command(), "--comfyui-port", port, "--detach"]).is(0));
    let run = place.only_run();
    let (id, instance) = (text(&run, "run_id"), text(&run, "instance"));
    let fingerprint = sshd.fingerprint().expect("a fingerprint");
    note(place.ends(&["instances", "trust", &instance, "--fingerprint", &fingerprint]).is(0));
    note(told(&place, &["instances", "unlock", &instance], "canary that is wrong"));
    note(told(&place, &["instances", "unlock", &instance], PASSPHRASE).is(0));
    note(place.ends(&["watch", &id]).is(0));
    note(place.ends(&["show", &id, "--json"]).is(0));
    note(place.ends(&["instances", "--json"]).is(0));
    note(place.ends(&["replay", &id, "--events"]).is(0));
    // A machine that lets in neither this key nor this password; and texts with secrets in the wrong places.
    let plain = plain.display().to_string();
    note(
        place
            .ends(&["instances", "add", "second", "--ssh", &format!("{} -i {plain}", sshd.command()), "--comfyui-port", "9"])
            .is(0),
    );
    note(place.ends(&["instances", "trust", "second", "--fingerprint", &fingerprint]).is(0));
    note(told(&place, &["instances", "unlock", "second", "--password"], PASSWORD));
    note(place.ends(&["instances", "test", "second"]));
    assert!(sshd.log().contains("Failed password"), "the password was offered");
    for path in [
        "/",
        "/metrics",
        "/api/v1/openapi.json",
        "/api/v1/runs",
        "/api/v1/instances",
        "/api/v1/instances/second",
        "/api/v1/stats",
        "/comfyui/workflow/state",
        "/workflow/state",
        &format!("/api/v1/instances/{instance}"),
        &format!("/api/v1/runs/{id}"),
        &format!("/api/v1/runs/{id}/log"),
        &format!("/api/v1/runs/{id}/workflow"),
        &format!("/comfyui/workflow/{id}/progress"),
    ] {
        watch.clean(path, answer(&place.data(), path));
    }
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        // It may end meanwhile.
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        watch.clean("the arguments of a process", line);
    }
    for text in &said {
        watch.clean("what a command said", text);
    }
    assert!(said.len() >= 10);
    let log = serving.log();
    assert!(log.contains("DEBUG") && log.contains("ssh"), "it says much: {log}");
    watch.clean("the server's log", log);
    drop(serving);
    let files = watch.clean_below(&place.data(), &["token"]);
    assert!(files > 3, "{files} files");
}
