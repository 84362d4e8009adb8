//! A workflow reaches ComfyUI byte for byte, with numbers that no other JSON tool keeps.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::harness::{House, wish};
use crate::support::Comfy;

/// Passes connections on to a ComfyUI and keeps what clients send; it ends with the process.
struct Ear {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Ear {
    fn before(comfy: &Comfy) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (kept, behind) = (Arc::clone(&heard), comfy.url().trim_start_matches("http://").to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                let Ok(far) = TcpStream::connect(&behind) else { return };
                let (near_too, far_too) = (near.try_clone().expect("a copy"), far.try_clone().expect("a copy"));
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || pass(near, far, &kept));
                std::thread::spawn(move || pass(far_too, near_too, &Mutex::default()));
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }

    fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut part = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut part) {
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&part[..count]);
        if to.write_all(&part[..count]).is_err() {
            break;
        }
    }
    // The other side may have closed first.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Everything that a JSON parser would write another way.
const GRAPH: &str = r#"{
  "3" : {"class_type":"EmptyImage", "inputs": {"width": 64,"height":64, "batch_size":1, "color": 0,
     "float": 18446744073709551615e0, "seed": 18446744073709551615, "odd": 9007199254740993, "cfg": 1.0, "tiny": 1E-7, "zero": -0.0, "huge": 123456789012345678901234567890,
     "nan": NaN, "up": Infinity, "down": -Infinity, "text": "NaN \u00e9\ud83d\ude00 \/ ☃"}},
  "1": {"inputs": {"images": ["3", 0], "filename_prefix": "a"}, "class_type": "SaveImage"}}"#;

#[test]
fn a_workflow_reaches_comfyui_byte_for_byte() {
    let house = House::new();
    let ear = Ear::before(&house.comfy);
    let url = format!("http://{}", ear.address);
    let posted = |how: &str, wanted: &str| {
        let heard = ear.heard();
        assert!(heard.contains(&format!("{{\"prompt\": {wanted}, \"prompt_id\"")), "{how}: {wanted} is not in {heard}");
        ear.forget();
    };
    let sent = |body: &str| {
        let answer = house.server.execute(body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let run = answer.json()["run_id"].as_str().expect("an id").to_owned();
        house.server.ended(&run);
    };
    sent(&format!("{{\"url\": \"{url}\", \"workflow\": {GRAPH}, \"workflow_name\": \"x\"}}"));
    posted("as an object", GRAPH);
    sent(&wish(GRAPH).replacen('{', &format!("{{\"url\": \"{url}\","), 1));
    posted("as a text", GRAPH);
    sent(&format!("{{\"url\": \"{url}\", \"workflow\": {{\"client_id\": \"x\", \"prompt\": {GRAPH} }}}}"));
    posted("in a wrapper", GRAPH);

    let form = format!(
        "--x\r\nContent-Disposition: form-data; name=\"url\"\r\n\r\n{url}\r\n--x\r\nContent-Disposition: form-data; name=\"workflow\"; filename=\"a.json\"\r\n\r\n{GRAPH}\r\n--x--\r\n"
    );
    let kind = [("Content-Type", "multipart/form-data; boundary=x")];
    let answer = house.server.ask_with("POST", "/api/v1/runs", &kind, form.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    house.server.ended(answer.json()["run_id"].as_str().expect("an id"));
    posted("as a form", GRAPH);

    let file = house.place.file("graph.json", GRAPH);
    house.place.ends(&["run", &file, "--url", &url]).says("run ");
    posted("from the command line", GRAPH);

    // With a setting it is written anew, and every number stays what it was.
    let seed = "18446744073709551557";
    house.place.ends(&["run", &file, "--url", &url, "--set", &format!("3.seed={seed}")]).says("run ");
    let heard = ear.heard();
    for kept in [seed, "9007199254740993", "123456789012345678901234567890", "NaN", "-Infinity", "1.0"] {
        assert!(heard.contains(&format!(":{kept},")), "{kept} in {heard}");
    }
    house.server.stop();
}
