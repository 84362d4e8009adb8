//! Requests that are no wishes: wrong bodies, forms, tokens, ids and places.

use serde_json::json;

use crate::harness::{House, sample};
use crate::http::ask;

const EXECUTE: &str = "/comfyui/workflow/execute";
/// A content type, a body; the status, the code, and what is said.
type Row<'a> = (&'a str, Vec<u8>, u16, &'a str, &'a [&'a str]);

const NOBODY: &str = "0193a1b2-0000-7000-8000-000000abc123";

#[test]
fn bodies_of_another_kind_or_size_are_refused() {
    let house = House::new();
    let before = house.traces();
    let server = &house.server;
    let json = "application/json";
    let padded = |bytes: usize| [b"{\"workflow\": {}".to_vec(), vec![b' '; bytes], b"}".to_vec()].concat();
    let rows: Vec<Row<'_>> = vec![
        (json, b"nonsense".to_vec(), 400, "not_json", &["line 1", "one JSON object"]),
        (json, b"[]".to_vec(), 400, "not_json", &["object"]),
        (json, b"{}".to_vec(), 400, "no_workflow", &["`workflow`", "`workflow_file`"]),
        (json, b"{\"workflow\": {\"a\xff\": 1}}".to_vec(), 400, "not_json", &["utf-8"]),
        (json, b"{\"workflow\": {}, \"priority\": \"high\"}".to_vec(), 400, "bad_field", &["`priority`", "\"high\""]),
        (json, b"{\"workflow\": {}, \"priority\": 99999999999}".to_vec(), 400, "bad_field", &["`priority`", "99999999999"]),
        (json, b"{\"workflow\": {}, \"inputs\": [1]}".to_vec(), 400, "bad_field", &["`inputs`"]),
        (json, b"{\"workflow\": {}, \"input_images\": 7}".to_vec(), 400, "bad_field", &["`input_images`"]),
        (json, b"{\"workflow\": {}, \"instance\": \"A B\"}".to_vec(), 400, "bad_instance", &["`instance`"]),
        (json, padded(16 << 20), 413, "too_large", &["16 MiB"]),
        (json, padded((16 << 20) + (100 << 10)), 413, "too_large", &["16 MiB", "files"]),
        (json, padded(17 << 20), 413, "too_large", &["16 MiB", "files"]),
        ("text/plain", b"{\"workflow\": {}}".to_vec(), 415, "unsupported_media_type", &["text/plain", "application/json"]),
        ("application/x-www-form-urlencoded", b"workflow=1".to_vec(), 415, "unsupported_media_type", &["application/json"]),
        ("multipart/form-data", b"--x--\r\n".to_vec(), 400, "bad_form", &["boundary", "curl -F"]),
        ("multipart/form-data; boundary=x", b"".to_vec(), 400, "bad_form", &["curl -F"]),
        ("multipart/form-data; boundary=x", b"no form at all".to_vec(), 400, "bad_form", &["curl -F"]),
        ("multipart/form-data; boundary=x", b"--x--\r\n".to_vec(), 400, "no_workflow", &["`workflow`"]),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"workflow\"\r\n\r\n{\"1\":".to_vec(),
            400,
            "bad_form",
            &["curl -F"],
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"workflow\"\r\n\r\n\xff\r\n--x--\r\n".to_vec(),
            400,
            "workflow_not_text",
            &["`workflow`", "UTF-8"],
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"workflow\"\r\n\r\n{\"1\": \r\n--x--\r\n".to_vec(),
            400,
            "workflow_not_json",
            &["line 1"],
        ),
    ];
    for (kind, body, status, code, says) in rows {
        let answer = server.ask_with("POST", EXECUTE, &[("Content-Type", kind)], &body);
        answer.refuses(status, code, says);
    }
    let answer = server.ask_with("POST", EXECUTE, &[], b"{\"workflow\": {}}");
    answer.refuses(415, "unsupported_media_type", &["nothing", "application/json"]);
    let keys = [("", "empty"), (&*"k".repeat(201), "200")];
    for (key, says) in keys {
        let headers = [("Content-Type", json), ("Idempotency-Key", key)];
        let answer =
            server.ask_with("POST", EXECUTE, &headers, &json!({ "workflow": sample("06_text") }).to_string().into_bytes());
        answer.refuses(400, "bad_idempotency_key", &[says, "UUID"]);
    }
    assert_eq!(house.traces(), before, "nothing was stored or posted");
    house.server.stop();
}

#[test]
fn without_the_right_token_nothing_is_told_or_done() {
    let house = House::new();
    let before = house.traces();
    let address = &house.server.address;
    let wish = json!({ "workflow": sample("06_text") }).to_string();
    let kind = ("Content-Type", "application/json");
    let rows: [(&[(&str, &str)], &str); 3] = [
        (&[], "no_token"),
        (&[("Authorization", "Bearer wrong")], "wrong_token"),
        (&[("Authorization", "Basic bWU6eW91")], "wrong_token"),
    ];
    for (more, code) in rows {
        for (method, path, body) in [("POST", EXECUTE, wish.as_bytes()), ("GET", "/api/v1/runs", b"")] {
            let headers: Vec<_> = [("Host", address.as_str()), kind].into_iter().chain(more.iter().copied()).collect();
            ask(address, method, path, &headers, body).refuses(401, code, &["comfyd token"]);
        }
    }
    let foreign = [("Host", "evil.example"), kind];
    ask(address, "POST", EXECUTE, &foreign, wish.as_bytes()).refuses(421, "unknown_host", &["Host"]);
    let (server, workflow) = (format!("http://{address}"), house.place.workflow("06_text"));
    let wrong = house.place.file("wrong", "0000");
    let empty = house.place.file("empty", "\n");
    house.cli_refuses(&["run", &workflow, "--server", &server], 2, "no_token", &["token"]);
    house.cli_refuses(&["run", &workflow, "--server", &server, "--token-file", &wrong], 2, "wrong_token", &["comfyd token"]);
    house.cli_refuses(
        &["run", &workflow, "--server", &server, "--token-file", &empty],
        2,
        "empty_token",
        &["empty", "comfyd token"],
    );
    assert_eq!(house.traces(), before, "nothing was stored or posted");
}

#[test]
fn runs_and_places_that_are_not_there_are_named() {
    let house = House::new();
    let server = &house.server;
    for name in [NOBODY, "nobody", "comfyui_workflow_1_abcdef", "%2e%2e%2fetc", "%1b%5b31m"] {
        for part in ["", "/log", "/events", "/outputs", "/outputs/0/content", "/preview", "/at/1"] {
            server.get(&format!("/api/v1/runs/{name}{part}")).refuses(404, "unknown_run", &["comfyd runs"]);
        }
        server.get(&format!("/comfyui/workflow/{name}/progress")).refuses(404, "unknown_run", &["comfyd runs"]);
        for part in ["cancel", "resubmit"] {
            server.ask("POST", &format!("/api/v1/runs/{name}/{part}"), b"{}").refuses(404, "unknown_run", &["comfyd runs"]);
        }
    }
    let run = server.run(&json!({ "workflow": sample("06_text") }));
    let seq = server.ended(&run)["seq"].as_u64().expect("a number");
    let of = |rest: &str| format!("/api/v1/runs/{run}{rest}");
    let beyond = (seq + 1).to_string();
    for (at, status, code, says) in [
        ("0", 404, "no_such_event", "begin with 1"),
        (&*beyond, 404, "no_such_event", &*beyond),
        ("18446744073709551615", 404, "no_such_event", "18446744073709551615"),
        ("18446744073709551616", 400, "bad_seq", "18446744073709551616"),
        ("-1", 400, "bad_seq", "`-1`"),
        ("last", 400, "bad_seq", "`last`"),
        ("1.5", 400, "bad_seq", "`1.5`"),
    ] {
        server.get(&of(&format!("/at/{at}"))).refuses(status, code, &[says]);
    }
    server.get(&of("/log?after=last")).refuses(400, "bad_query", &["after"]);
    server.get("/api/v1/runs?limit=many").refuses(400, "bad_query", &["limit"]);
    server.get("/api/v1/runs?status=done").refuses(400, "bad_query", &["`done`", "completed"]);
    server.get(&of("/outputs/99/content")).refuses(404, "no_such_output", &["99", &run]);
    server.get(&of("/outputs/last/content")).refuses(400, "bad_number", &["number"]);
    for _ in 0..2 {
        server.ask("POST", &of("/cancel"), b"{}").refuses(409, "already_settled", &[&run, "completed"]);
    }
    server.ask("POST", &of("/cancel"), b"{\"force\": \"yes\"}").refuses(400, "bad_field", &["`force`", "\"yes\""]);
    server.ask("POST", &of("/resubmit"), b"{}").refuses(409, "already_settled", &["completed"]);
    server.ask("DELETE", EXECUTE, b"").refuses(405, "method_not_allowed", &["method"]);
    server.get("/api/v2/runs").refuses(404, "not_found", &["/api/v1"]);

    house.cli_refuses(&["cancel", &run], 1, "already_settled", &["completed"]);
    house.cli_refuses(&["replay", &run, "--at", "0"], 2, "no_such_event", &["begin with 1"]);
    house.cli_refuses(&["replay", &run, "--at", &beyond], 2, "no_such_event", &[&beyond]);
    house.cli_refuses(&["replay", &run, "--until", "yesterday"], 2, "bad_time", &["`yesterday`", "RFC 3339"]);
    for command in ["show", "watch", "cancel", "outputs", "replay"] {
        for name in [NOBODY, "nobody"] {
            house.cli_refuses(&[command, name], 2, "unknown_run", &[name, "comfyd runs"]);
        }
    }
    house.cli_refuses(&["log", "verify", "nobody"], 2, "unknown_run", &["nobody"]);
    assert_eq!(server.runs().len(), 1);
    assert_eq!(house.comfy.fake.ledger().posts(), 1);
    house.server.stop();
}
