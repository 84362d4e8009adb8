//! What the tests share: a server, and who trusts it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use comfyd_adapters::env::SystemRng;
use comfyd_adapters::ssh::{Destination, Hop, HostKey, Secret, Session, SshConfig, Surroundings, Trust};
use comfyd_fixtures::sshd::Sshd;

/// Trusts what it is told to.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) keys: Mutex<Vec<HostKey>>,
    pub(crate) passphrase: Option<&'static str>,
    pub(crate) password: Option<&'static str>,
}

impl Trust for Told {
    fn accepted(&self, _hop: &Hop) -> Vec<HostKey> {
        self.keys.lock().expect("not poisoned").clone()
    }

    fn passphrase(&self) -> Option<Secret> {
        self.passphrase.map(|text| Secret::new(text.to_owned()))
    }

    fn password(&self) -> Option<Secret> {
        self.password.map(|text| Secret::new(text.to_owned()))
    }
}

pub(crate) fn host_key(sshd: &Sshd) -> HostKey {
    let text = sshd.host_key().expect("a host key");
    let (algorithm, base64) = text.split_once(' ').expect("two words");
    HostKey::parse(algorithm, base64).expect("a good key")
}

pub(crate) fn trusting(sshd: &Sshd) -> Arc<Told> {
    Arc::new(Told { keys: Mutex::new(vec![host_key(sshd)]), ..Told::default() })
}

/// The server's own key and nothing of this machine.
pub(crate) fn config(sshd: &Sshd, trust: Arc<Told>) -> SshConfig {
    SshConfig {
        destination: Destination::parse(&sshd.command(), None).expect("a good command").destination,
        identity: Some(sshd.key()),
        password_file: None,
        surroundings: Surroundings { home: Some(sshd.home()), agent: None, known_hosts: vec![] },
        trust,
        keepalive: Duration::from_secs(1),
        rng: Arc::new(SystemRng::default()),
    }
}

pub(crate) fn session(sshd: &Sshd) -> Session {
    Session::new(Arc::new(config(sshd, trusting(sshd))))
}
