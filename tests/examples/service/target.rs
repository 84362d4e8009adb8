//! The comfyd that is measured.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::http::Connection;

/// Where it is and how it is asked.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) token: String,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Five nodes that end at once; no cache can answer the first, so none.
fn graph(number: u64) -> String {
    let step = |n: u64| format!(r#""{n}":{{"class_type":"InstantStep","inputs":{{"seed":{n},"after":["{}",0]}}}}"#, n - 1);
    let steps = (2..5).map(step).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"1":{{"class_type":"InstantStep","inputs":{{"seed":{}}}}},{steps},"5":{{"class_type":"InstantText","inputs":{{"text":"done","after":["4",0]}}}}}}"#,
        7_000_000 + number
    )
}

impl Target {
    pub(crate) fn headers(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.token)
    }

    pub(crate) async fn open(&self) -> io::Result<Connection> {
        Connection::open(&self.host).await
    }

    /// Its memory in KiB.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|text| text.split_whitespace().next()?.parse().ok()).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// Makes a run of five instant nodes; gives its id.
    pub(crate) async fn create(&self, connection: &mut Connection) -> io::Result<String> {
        let body = format!("{{\"workflow\":{}}}", graph(NUMBERS.fetch_add(1, Ordering::Relaxed)));
        let reply = connection.ask("POST", "/api/v1/runs", &self.headers(), &body).await?;
        let answer: serde_json::Value = serde_json::from_slice(&reply.body)?;
        answer["run_id"].as_str().map(str::to_owned).ok_or_else(|| io::Error::other(format!("{}: {answer}", reply.status)))
    }

    /// A finished run's state and path.
    pub(crate) async fn finished_run(&self) -> io::Result<(Bytes, String)> {
        let mut connection = self.open().await?;
        let run = self.create(&mut connection).await?;
        let path = format!("/api/v1/runs/{run}");
        for _ in 0..500 {
            let reply = connection.ask("GET", &path, &self.headers(), "").await?;
            if std::str::from_utf8(&reply.body).is_ok_and(|text| text.contains("\"status\":\"completed\"")) {
                return Ok((reply.body, path));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(io::Error::other("the first run does not end"))
    }
}
