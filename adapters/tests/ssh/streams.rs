//! Streams and commands over one connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use comfyd_adapters::comfy::http::Client;
use comfyd_adapters::ssh::{Ended, Said, SshError, SshWay};
use comfyd_fixtures::sshd::Sshd;
use comfyd_fixtures::{FakeComfy, FakeConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{config, session, trusting};

/// A server that says everything back.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    port
}

/// A server that talks without end.
async fn flood() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { while stream.write_all(&[7; 16_000]).await.is_ok() {} });
        }
    });
    port
}

#[tokio::test]
async fn many_streams_share_one_connection() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let port = echo().await;
    let session = session(&sshd);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20_u8 {
        let session = session.clone();
        tasks.spawn(async move {
            let mut stream = session.stream(port).await.expect("a stream");
            let sent = vec![n; 300_000];
            let (mut read, mut write) = tokio::io::split(&mut stream);
            let mut back = Vec::new();
            let write = async {
                write.write_all(&sent).await.expect("written");
                write.shutdown().await.expect("its end is told");
            };
            let ((), read) = tokio::join!(write, read.read_to_end(&mut back));
            read.expect("read to its end");
            assert!(back == sent, "stream {n}");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no stream failed");
    }
    assert_eq!(session.attempts(), 1);
}

#[tokio::test]
async fn a_reader_that_stalls_holds_up_no_other_and_is_cut_off() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let (flood, echo) = (flood().await, echo().await);
    let session = session(&sshd);
    let mut stalled = session.stream(flood).await.expect("a stream");
    // Its first bytes are read, and then no more.
    stalled.read_exact(&mut [0; 1000]).await.expect("it talks");
    let mut other = session.stream(echo).await.expect("another stream");
    for n in 0..200_u32 {
        other.write_all(&n.to_be_bytes()).await.expect("written");
        let mut back = [0; 4];
        // Without a queue of its own for each, nothing would come before the stalled one goes on, which is never.
        let answered = tokio::time::timeout(Duration::from_secs(20), other.read_exact(&mut back)).await;
        answered.expect("it is not held up").expect("answered");
        assert_eq!(back, n.to_be_bytes());
    }
    // What was kept for it is read, and then it is told.
    let mut kept = Vec::new();
    let error = stalled.read_to_end(&mut kept).await.expect_err("it is cut off");
    assert!(error.to_string().contains("fell too far behind"), "{error}");
    assert!(kept.len() > 60 << 20, "{}", kept.len());
    assert_eq!(session.attempts(), 1);
}

#[tokio::test]
async fn comfyui_is_reached_through_it() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let fake = FakeComfy::new(FakeConfig::default());
    let server = fake.listen("127.0.0.1:0").await.expect("listening");
    let way = SshWay::new(config(&sshd, trusting(&sshd)));
    let http = Client::new(Arc::new(way.to_port(server.local_addr().port())));
    let stats = http.stats().await.expect("an answer");
    assert!(stats.version.is_some());
    // A port that nobody listens on is that, and not a lost machine.
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("an address").port();
    let http = Client::new(Arc::new(way.to_port(nobody)));
    let error = http.stats().await.expect_err("nobody is there");
    assert!(error.is_refused(), "{error}");
    assert_eq!(way.control().attempts(), 1);
}

#[tokio::test]
async fn a_connection_that_was_killed_is_made_again() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let port = echo().await;
    let session = session(&sshd);
    let mut stream = session.stream(port).await.expect("a stream");
    sshd.kill_sessions();
    let error = stream.read_u8().await.expect_err("it is gone");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    let mut stream = session.stream(port).await.expect("a stream on a new connection");
    stream.write_u8(7).await.expect("written");
    assert_eq!(stream.read_u8().await.expect("answered"), 7);
    assert_eq!(session.attempts(), 2);
}

#[tokio::test]
async fn a_frozen_machine_is_noticed() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let port = echo().await;
    let session = session(&sshd);
    let mut stream = session.stream(port).await.expect("a stream");
    sshd.freeze_sessions();
    // The test's keepalive is 1 s, three times.
    let read = tokio::time::timeout(Duration::from_mins(1), stream.read_u8()).await.expect("it is noticed");
    assert!(read.is_err());
    let mut stream = session.stream(port).await.expect("a stream on a new connection");
    stream.write_u8(7).await.expect("written");
    assert_eq!(stream.read_u8().await.expect("answered"), 7);
}

#[tokio::test]
async fn a_comfyui_that_is_down_may_tell_its_folders_later() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let way = SshWay::new(config(&sshd, trusting(&sshd)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    // These tests are a process that is seen, and no ComfyUI.
    assert_eq!(way.to_port(port).input_dir().await, Ok(None));
    drop(listener);
    let down = way.to_port(port).input_dir().await.expect_err("nothing tells");
    assert!(matches!(&down, SshError::PortRefused { port: at, .. } if *at == port), "{down}");
}

#[tokio::test]
async fn forwarding_that_is_forbidden_is_told() {
    let sshd = Sshd::start(&["AllowTcpForwarding no"]).expect("sshd");
    let error = session(&sshd).stream(8188).await.err().expect("it is forbidden");
    assert!(matches!(error, SshError::Forbidden { .. }), "{error}");
    assert!(error.hint().contains("AllowTcpForwarding"));
}

#[tokio::test]
async fn commands_say_what_they_say_and_how_they_end() {
    let sshd = Sshd::start(&["MaxSessions 1", "Banner /etc/hostname"]).expect("sshd");
    let session = session(&sshd);
    let answer = session.ask("cat; echo oops >&2; exit 3", Bytes::from_static(b"hello")).await.expect("a command");
    assert_eq!((answer.ended, answer.out.as_slice(), answer.err.as_slice()), (Ended::Status(3), &b"hello"[..], &b"oops\n"[..]));
    let answer = session.ask("kill -9 $$", Bytes::new()).await.expect("a command");
    assert!(matches!(answer.ended, Ended::Signal(_)), "{answer:?}");
    // With one session at a time, those that come together take turns.
    let both = tokio::join!(session.ask("echo 1", Bytes::new()), session.ask("echo 2", Bytes::new()));
    assert_eq!((both.0.expect("first").out, both.1.expect("second").out), (b"1\n".to_vec(), b"2\n".to_vec()));
    let mut pieces = Vec::new();
    let ended = session.run("seq 1 100000", Bytes::new(), |said| pieces.push(said)).await.expect("a command");
    assert_eq!(ended, Ended::Status(0));
    let length: usize = pieces
        .iter()
        .map(|said| match said {
            Said::Out(bytes) | Said::Err(bytes) => bytes.len(),
        })
        .sum();
    assert_eq!(length, 588_895);
    let answer = session.ask("yes | head -c 3000000", Bytes::new()).await.expect("a command");
    assert_eq!(answer.out.len(), comfyd_adapters::ssh::MAX_OUTPUT, "no more is kept");
    assert_eq!(session.attempts(), 1);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_gives_its_session_back() {
    let sshd = Sshd::start(&["MaxSessions 1"]).expect("sshd");
    let session = session(&sshd);
    // Only this session fits, and it talks without end.
    let (told, mut said) = (tokio::sync::Notify::new(), 0);
    let talks = session.run("yes", Bytes::new(), |_| {
        said += 1;
        if said == 100 {
            told.notify_one();
        }
    });
    let heard = async {
        tokio::select! {
            ended = talks => panic!("it talks without end: {ended:?}"),
            () = told.notified() => {} // Nobody waits for it any more.
        }
    };
    tokio::time::timeout(Duration::from_mins(1), heard).await.expect("it talks");
    let answer = session.ask("echo next", Bytes::new()).await.expect("there is room");
    assert_eq!(answer.out, b"next\n");
    assert_eq!(session.attempts(), 1);
}
