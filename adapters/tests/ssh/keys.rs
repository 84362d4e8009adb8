//! Who the machine is, and who we are.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use comfyd_adapters::ssh::{Destination, Session, SshConfig, SshError, Surroundings};
use comfyd_fixtures::sshd::Sshd;

use crate::support::{Told, config, host_key, session, trusting};

#[tokio::test]
async fn an_unknown_machine_is_told_with_its_fingerprint_and_not_asked_again() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let trust = Arc::new(Told::default());
    let session = Session::new(Arc::new(config(&sshd, Arc::clone(&trust))));
    for _ in 0..5 {
        let Err(SshError::HostKeyUnknown(presented)) = session.connect().await else { panic!("a machine that nobody knows") };
        assert_eq!(presented.key.fingerprint(), sshd.fingerprint().expect("ssh-keygen"));
        assert_eq!(presented.machine, format!("[127.0.0.1]:{}", sshd.port()));
    }
    assert_eq!(session.attempts(), 1);
    assert!(!sshd.log().contains("Accepted"), "nobody logged in");
    trust.keys.lock().expect("not poisoned").push(host_key(&sshd));
    assert_eq!(session.connect().await, Ok(()));
}

#[tokio::test]
async fn a_changed_key_and_one_of_another_algorithm_are_refused_with_both_fingerprints() {
    for algorithm in ["ed25519", "ecdsa", "rsa"] {
        let mut sshd = Sshd::start(&[]).expect("sshd");
        let before = host_key(&sshd);
        let trust = trusting(&sshd);
        sshd.new_host_key(algorithm).expect("a key");
        sshd.restart().expect("sshd again");
        let session = Session::new(Arc::new(config(&sshd, trust)));
        let error = session.connect().await.expect_err("it is another key");
        let SshError::HostKeyChanged { presented, before: was, source_of } = &error else { panic!("{error:?}") };
        assert_eq!(presented.key, host_key(&sshd));
        assert_eq!((was.as_str(), source_of.as_str()), (before.to_string().as_str(), "accepted"));
        assert!(!sshd.log().contains("Accepted"), "nobody logged in");
    }
}

#[tokio::test]
async fn files_of_known_hosts_are_heard_and_never_written() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let file = sshd.folder().join("known_hosts");
    let try_with = async |text: &str| {
        fs::write(&file, text).expect("written");
        let base = config(&sshd, Arc::new(Told::default()));
        let surroundings = Surroundings { known_hosts: vec![file.clone()], ..base.surroundings.clone() };
        let done = Session::new(Arc::new(SshConfig { surroundings, ..base })).connect().await;
        assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
        done.err().map(|error| error.code())
    };
    let name = format!("[127.0.0.1]:{}", sshd.port());
    let key = sshd.host_key().expect("a key");
    assert_eq!(try_with("").await, Some("host_key_unknown"));
    assert_eq!(try_with(&format!("{name} {key}\n")).await, None);
    assert_eq!(try_with(&format!("@revoked * {key}\n")).await, Some("host_key_revoked"));
    assert_eq!(try_with(&format!("{name} {key}\n@revoked * {key}\n")).await, Some("host_key_revoked"));
    assert_eq!(try_with(&format!("@cert-authority * {key}\n")).await, Some("host_key_unknown"));
    assert_eq!(try_with("@revoked * what\n").await, Some("known_hosts_unreadable"));
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("a folder in its place");
    let base = config(&sshd, trusting(&sshd));
    let surroundings = Surroundings { known_hosts: vec![file], ..base.surroundings.clone() };
    let done = Session::new(Arc::new(SshConfig { surroundings, ..base })).connect().await;
    assert_eq!(done.err().map(|error| error.code()), Some("known_hosts_unreadable"), "even for a key that was accepted");
}

#[tokio::test]
async fn a_machine_with_several_keys_is_asked_for_the_one_that_it_is_known_by() {
    let sshd = Sshd::start(&[]).expect("a folder to make keys in");
    let kept = sshd.folder().join("second");
    sshd.make_key(&kept, "rsa", "").expect("a key");
    let two = Sshd::start(&[&format!("HostKey {}", kept.display())]).expect("sshd with two keys");
    let public = fs::read_to_string(kept.with_extension("pub")).expect("a public key");
    let file = sshd.folder().join("known_hosts");
    fs::write(&file, format!("[127.0.0.1]:{} {public}", two.port())).expect("written");
    let base = config(&two, Arc::new(Told::default()));
    let surroundings = Surroundings { known_hosts: vec![file], ..base.surroundings.clone() };
    assert_eq!(Session::new(Arc::new(SshConfig { surroundings, ..base })).connect().await, Ok(()));
}

#[tokio::test]
async fn keys_of_every_kind_let_us_in() {
    let sshd = Sshd::start(&[]).expect("sshd");
    for algorithm in ["ed25519", "ecdsa", "rsa"] {
        let key = sshd.folder().join(format!("user_{algorithm}"));
        sshd.make_key(&key, algorithm, "").expect("a key");
        sshd.authorize(std::slice::from_ref(&key)).expect("authorized");
        let config = SshConfig { identity: Some(key), ..config(&sshd, trusting(&sshd)) };
        assert_eq!(Session::new(Arc::new(config)).connect().await, Ok(()), "{algorithm}");
    }
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let key = sshd.folder().join("locked");
    sshd.make_key(&key, "ed25519", "hunter2-canary").expect("a key");
    sshd.authorize(std::slice::from_ref(&key)).expect("authorized");
    let code = async |passphrase| {
        let trust = Arc::new(Told { passphrase, keys: vec![host_key(&sshd)].into(), ..Told::default() });
        let done = Session::new(Arc::new(SshConfig { identity: Some(key.clone()), ..config(&sshd, trust) })).connect().await;
        if let Err(error) = &done {
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
        done.err().map(|error| error.code())
    };
    assert_eq!(code(None).await, Some("key_locked"));
    assert_eq!(code(Some("wrong-canary")).await, Some("key_locked"));
    assert_eq!(code(Some("hunter2-canary")).await, None);
}

#[tokio::test]
async fn a_refused_login_is_tried_once_more_and_then_waits_for_somebody() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let other = sshd.folder().join("stranger");
    sshd.make_key(&other, "ed25519", "").expect("a key");
    let session = Session::new(Arc::new(SshConfig { identity: Some(other), ..config(&sshd, trusting(&sshd)) }));
    for _ in 0..10 {
        let error = session.connect().await.expect_err("a stranger");
        assert_eq!(error.code(), "auth_failed");
        assert!(error.to_string().contains("stranger"), "it says what was offered: {error}");
    }
    assert_eq!(session.attempts(), 2);
    session.try_again();
    assert!(session.connect().await.is_err());
    assert_eq!(session.attempts(), 3);
}

#[tokio::test]
async fn without_a_named_key_the_agents_and_the_usual_ones_are_offered_five_at_most() {
    let sshd = Sshd::start(&["MaxAuthTries 20"]).expect("sshd");
    let socket = sshd.folder().join("agent");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("ssh-agent");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the agent does not answer");
        tokio::task::yield_now().await;
    }
    let add = |n: usize| {
        let key = sshd.folder().join(format!("agent_{n}"));
        sshd.make_key(&key, "ed25519", "").expect("a key");
        let done = Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket).status().expect("ssh-add");
        assert!(done.success());
        key
    };
    let base = config(&sshd, trusting(&sshd));
    let surroundings = Surroundings { agent: Some(socket.clone()), ..base.surroundings.clone() };
    let config = SshConfig { identity: None, surroundings, ..base };
    // The usual key of the home folder.
    let usual = sshd.home().join(".ssh/id_ed25519");
    sshd.make_key(&usual, "ed25519", "").expect("a key");
    sshd.authorize(&[usual]).expect("authorized");
    assert_eq!(Session::new(Arc::new(config.clone())).connect().await, Ok(()));
    // One of the agent.
    let first = add(0);
    sshd.authorize(&[first]).expect("authorized");
    assert_eq!(Session::new(Arc::new(config.clone())).connect().await, Ok(()));
    // More than five, of which the sixth would do.
    (1..5).for_each(|n| drop(add(n)));
    let last = add(5);
    sshd.authorize(&[last]).expect("authorized");
    let error = Session::new(Arc::new(config)).connect().await.expect_err("five were offered");
    assert_eq!(error.code(), "auth_failed");
    let SshError::Auth { tried, .. } = &error else { panic!("{error}") };
    assert_eq!(tried.matches("key").count(), 5, "{tried}");
    agent.kill().expect("it runs");
    agent.wait().expect("it ends");
}

#[tokio::test]
async fn over_a_jump_host_both_machines_are_checked() {
    let gate = Sshd::start(&[]).expect("the jump host");
    let target = Sshd::start(&[]).expect("the machine behind");
    target.authorize(&[gate.key()]).expect("authorized");
    let text = format!("ssh -J {}@127.0.0.1:{} -p {} {}@127.0.0.1", gate.user(), gate.port(), target.port(), target.user());
    let destination = Destination::parse(&text, None).expect("a good command").destination;
    let code = async |keys: Vec<_>| {
        let trust = Arc::new(Told { keys: keys.into(), ..Told::default() });
        let config = SshConfig { destination: destination.clone(), ..config(&gate, trust) };
        let session = Session::new(Arc::new(config));
        match session.connect().await {
            Ok(()) => {
                let answer = session.ask("echo there", bytes::Bytes::new()).await.expect("a command");
                String::from_utf8(answer.out).expect("text")
            }
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(code(vec![host_key(&gate), host_key(&target)]).await, "there\n");
    let refused = code(vec![host_key(&gate)]).await;
    assert!(refused.contains(&format!("[127.0.0.1]:{}", target.port())) && refused.contains("changed"), "{refused}");
    let refused = code(vec![host_key(&target)]).await;
    assert!(refused.contains(&format!("[127.0.0.1]:{}", gate.port())), "{refused}");
}

#[tokio::test]
async fn what_answers_may_be_no_ssh_at_all() {
    let sshd = Sshd::start(&[]).expect("sshd");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let destination = Destination::parse(&format!("root@127.0.0.1:{port}"), None).expect("good").destination;
    let done = Session::new(Arc::new(SshConfig { destination, ..config(&sshd, trusting(&sshd)) })).connect().await;
    assert_eq!(done.err().map(|error| error.code()), Some("ssh_handshake"));
    drop(session(&sshd));
}

#[tokio::test]
async fn a_machine_that_hangs_up_after_refusals_is_not_tried_for_ever() {
    let sshd = Sshd::start(&["MaxAuthTries 2"]).expect("sshd");
    let folder = sshd.home().join(".ssh");
    for name in ["id_ed25519", "id_ecdsa", "id_rsa"] {
        let algorithm = name.trim_start_matches("id_");
        sshd.make_key(&folder.join(name), algorithm, "").expect("a key");
    }
    let session = Session::new(Arc::new(SshConfig { identity: None, ..config(&sshd, trusting(&sshd)) }));
    let mut last = None;
    for _ in 0..6 {
        last = session.connect().await.err();
    }
    assert!(matches!(&last, Some(SshError::Auth { tried, .. }) if tried.contains("hung up")), "{last:?}");
    assert_eq!(session.attempts(), 2);
    assert!(session.stuck().is_some());
}

#[tokio::test]
async fn a_password_goes_only_to_the_machine_that_it_is_for() {
    let (gate, sshd) = (Sshd::start(&["PasswordAuthentication yes"]).expect("sshd"), Sshd::start(&[]).expect("sshd"));
    gate.authorize(&[]).expect("nobody");
    let text = format!("{} -J {}@127.0.0.1:{}", sshd.command(), gate.user(), gate.port());
    let destination = Destination::parse(&text, None).expect("a good command").destination;
    let trust = Told { password: Some("hunter2"), ..Told::default() };
    trust.keys.lock().expect("not poisoned").extend([host_key(&gate), host_key(&sshd)]);
    let session = Session::new(Arc::new(SshConfig { destination, ..config(&sshd, Arc::new(trust)) }));
    let error = session.connect().await.expect_err("the first machine lets nobody in");
    assert!(matches!(&error, SshError::Auth { tried, .. } if !tried.contains("password")), "{error}");
    assert!(!gate.log().contains("Failed password"), "{}", gate.log());
}

#[tokio::test]
async fn what_one_connection_meets_holds_for_the_other() {
    let mut sshd = Sshd::start(&[]).expect("sshd");
    let control = session(&sshd);
    let bulk = control.beside();
    control.connect().await.expect("it is trusted");
    sshd.new_host_key("ecdsa").expect("a key");
    sshd.renew().expect("sshd again");
    assert_eq!(bulk.connect().await.err().map(|error| error.code()), Some("host_key_changed"));
    assert_eq!(control.connect().await.err().map(|error| error.code()), Some("host_key_changed"), "though it stood");
    assert_eq!(control.stuck(), bulk.stuck());
}
