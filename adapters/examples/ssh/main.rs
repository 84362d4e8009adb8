//! Measures connections over SSH against a real sshd on loopback: a large file beside `sftp`, small messages beside plain TCP, and one channel beside
//! another that nobody reads.
//!
//! ```text
//! ssh [MEGABYTES [ROUNDS]]
//! ```
//!
//! One JSON line a figure. What is compared is measured in turns.

mod messages;

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use comfyd_adapters::digest::sha256;
use comfyd_adapters::env::SystemRng;
use comfyd_adapters::ssh::{Destination, Hop, HostKey, KEEPALIVE, Secret, Session, SshConfig, Surroundings, Trust};
use comfyd_fixtures::sshd::Sshd;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

/// Trusts the one machine that is measured.
struct This(Vec<HostKey>);

impl Trust for This {
    fn accepted(&self, _hop: &Hop) -> Vec<HostKey> {
        self.0.clone()
    }

    fn passphrase(&self) -> Option<Secret> {
        None
    }

    fn password(&self) -> Option<Secret> {
        None
    }
}

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().map_err(io::Error::other));
    let megabytes = numbers.next().transpose()?.unwrap_or(200);
    let rounds = numbers.next().transpose()?.unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let sshd = Sshd::start(&[])?;
        let session = session(&sshd)?;
        session.connect().await.map_err(io::Error::other)?;
        tell(&large(&sshd, &session, megabytes, rounds).await?)?;
        tell(&messages::latency(&session).await?)?;
        tell(&messages::stalled(&session).await?)
    })
}

fn tell(figure: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{figure}")
}

fn session(sshd: &Sshd) -> io::Result<Session> {
    let text = sshd.host_key()?;
    let (algorithm, key) = text.split_once(' ').ok_or_else(|| io::Error::other("a host key without a blank"))?;
    let key = HostKey::parse(algorithm, key).map_err(io::Error::other)?;
    let destination = Destination::parse(&sshd.command(), None).map_err(io::Error::other)?.destination;
    Ok(Session::new(Arc::new(SshConfig {
        destination,
        identity: Some(sshd.key()),
        password_file: None,
        surroundings: Surroundings { home: Some(sshd.home()), agent: None, known_hosts: vec![] },
        trust: Arc::new(This(vec![key])),
        keepalive: KEEPALIVE,
        rng: Arc::new(SystemRng::default()),
    })))
}

/// A file by `sftp` and by comfyd's session, which also hashes it; both to the same disk.
async fn large(sshd: &Sshd, session: &Session, megabytes: usize, rounds: usize) -> io::Result<Value> {
    let (from, to) = (sshd.folder().join("large"), sshd.folder().join("copy"));
    let piece: Vec<u8> = (0..1 << 20).map(|n: u32| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap_or(0)).collect();
    let mut file = std::fs::File::create(&from)?;
    (0..megabytes).try_for_each(|_| file.write_all(&piece))?;
    file.sync_all()?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        sftp(sshd, &from, &to)?;
        theirs.push(began.elapsed().as_secs_f64());
        std::fs::remove_file(&to)?;
        let began = Instant::now();
        fetch(session, &from, &to).await?;
        ours.push(began.elapsed().as_secs_f64());
        if std::fs::metadata(&to)?.len() != std::fs::metadata(&from)?.len() {
            return Err(io::Error::other("the copy is not whole"));
        }
        std::fs::remove_file(&to)?;
    }
    let (theirs, ours) = (median(&mut theirs), median(&mut ours));
    Ok(
        json!({ "what": "a large file", "megabytes": megabytes, "rounds": rounds, "sftp_s": theirs, "comfyd_s": ours, "ratio": ours / theirs }),
    )
}

fn sftp(sshd: &Sshd, from: &Path, to: &Path) -> io::Result<()> {
    let options = ["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-i"];
    let mut command = Command::new("sftp");
    command.args(options).arg(sshd.key()).args(["-P", &sshd.port().to_string()]);
    let done = command.arg(format!("{}@127.0.0.1:{}", sshd.user(), from.display())).arg(to).stdin(Stdio::null()).output()?;
    if done.status.success() { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned())) }
}

async fn fetch(session: &Session, from: &Path, to: &Path) -> io::Result<()> {
    let from = from.display().to_string();
    let stat = session.stat(&from).await.map_err(io::Error::other)?;
    let mut reader = session.open_file(&from, stat, 0).await.map_err(io::Error::other)?;
    let mut file = tokio::fs::File::create(to).await?;
    while let Some(piece) = reader.piece().await.map_err(io::Error::other)? {
        // What comfyd does with each piece of an output.
        std::hint::black_box(sha256(&piece));
        file.write_all(&piece).await?;
    }
    file.flush().await
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
