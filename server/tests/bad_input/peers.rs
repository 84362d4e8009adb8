//! Addresses where no ComfyUI is: the run waits and says why; the command gives up with 4 and loses nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::harness::{House, refuses, sample};

/// A server that answers everything alike; it ends with the process.
struct Stranger {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stranger {
    fn answering(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // Whoever breaks off has had enough of this stranger.
                let _ = talk(stream, answer, &seen);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn talk(stream: TcpStream, answer: &[u8], seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = first.clone();
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(first);
    reader.into_inner().write_all(answer)
}

const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nConnection: close\r\n\r\nnot found";
const PAGE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 29\r\nConnection: close\r\n\r\n<html><h1>It works!</h1></html";
const OTHER_JSON: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\nConnection: close\r\n\r\n[[]]";
const REDIRECT: &[u8] =
    b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const GARBAGE: &[u8] = b"SSH-2.0-OpenSSH_9.6\r\n\x00\x1b[31m\xff\xfe";
const NOTHING: &[u8] = b"";

#[test]
fn who_is_not_comfyui_is_never_given_a_workflow() {
    let house = House::new();
    let workflow = house.place.workflow("06_text");
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address")
    };
    let strangers = [
        (NOT_FOUND, "404"),
        (PAGE, "may not be a ComfyUI"),
        (OTHER_JSON, "may not be a ComfyUI"),
        (REDIRECT, "302"),
        (GARBAGE, ""),
        (NOTHING, ""),
    ];
    let strangers = strangers.map(|(answer, says)| (Stranger::answering(answer), says));
    let mut rows: Vec<(SocketAddr, &str)> = strangers.iter().map(|(stranger, says)| (stranger.address, *says)).collect();
    rows.push((refused, "refused"));
    for (address, says) in rows {
        let url = format!("http://{address}");
        let run = house.server.run(&json!({ "workflow": sample("06_text"), "url": url }));
        let view = house.server.sees(&run, |view| !view["attention"].is_null());
        assert_eq!((&view["status"], &view["attention"]["kind"]), (&json!("queued"), &json!("unreachable")), "{view:#}");
        let message = view["attention"]["message"].as_str().expect("a message");
        assert!(message.contains(says), "no `{says}` in {message}");
        assert!(!message.chars().any(char::is_control), "{message:?}");
        let cancelled = house.server.ask("POST", &format!("/api/v1/runs/{run}/cancel"), b"");
        assert_eq!(cancelled.status, 202, "{}", cancelled.text());
        assert_eq!(house.server.ended(&run)["status"], "cancelled");

        let args = ["run", &workflow, "--url", &url, "--give-up-after", "1"];
        let ended = house.place.ends(&args);
        refuses(&ended, &args, 4, "instance_unreachable", &[&address.port().to_string(), says, "comfyd cancel", "comfyd watch"]);
        let queued = house.server.runs().into_iter().find(|run| run["status"] == "queued").expect("the run waits");
        let run = queued["run_id"].as_str().expect("an id");
        house.place.ends(&["cancel", run]).is(0);
        assert_eq!(house.server.ended(run)["status"], "cancelled");
    }
    for (stranger, _) in &strangers {
        let asked = stranger.asked();
        assert!(!asked.is_empty(), "{} was asked", stranger.address);
        assert!(asked.iter().all(|line| line.starts_with("GET ")), "only asked, never given anything: {asked:?}");
    }
    assert_eq!(house.comfy.fake.ledger().posts(), 0);
    house.server.stop();
}

#[test]
fn a_comfyd_that_is_not_there_is_named() {
    let house = House::new();
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address")
    };
    let (server, token) = (format!("http://{address}"), house.place.file("token", "0000"));
    let port = address.port().to_string();
    house.cli_refuses(&["runs", "--server", &server, "--token-file", &token], 4, "server_unreachable", &[&port, "comfyd serve"]);
    for (answer, exit, code) in [
        (NOT_FOUND, 2, "http_error"),
        (PAGE, 1, "strange_answer"),
        (GARBAGE, 4, "server_unreachable"),
        (NOTHING, 4, "server_unreachable"),
    ] {
        let stranger = Stranger::answering(answer);
        let server = format!("http://{}", stranger.address);
        house.cli_refuses(&["runs", "--server", &server, "--token-file", &token], exit, code, &["comfyd"]);
    }
    for url in ["https://127.0.0.1:1", "http://me:pw@127.0.0.1:1", "http://127.0.0.1:1/path", "http://", "ssh://host"] {
        house.cli_refuses(&["runs", "--server", url, "--token-file", &token], 2, "bad_server_url", &["http://HOST:PORT"]);
    }
}
