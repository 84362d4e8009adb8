//! The ways to instances: straight, or over SSH with what was accepted and told for it.
//!
//! Invariants: all that goes to one instance over SSH shares its connections, which end when nobody needs them; passwords and passphrases that somebody
//! typed live in memory only, for that instance and until the server ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use comfyd_adapters::comfy::tuning::Tuning;
use comfyd_adapters::env::Rng;
use comfyd_adapters::hot::Hot;
use comfyd_adapters::ssh::{Destination, Hop, HostKey, Secret, SshConfig, SshWay, Surroundings, Trust};
use comfyd_adapters::transport::Transport;
use comfyd_engine::{Connection, InstanceId, SshConnection};

use super::board::Board;
use crate::dispatch::{ByUrl, Connector};

/// How many ways are remembered that nobody uses now: what they learned of refusals is worth keeping for a while.
const MAX_IDLE: usize = 64;

/// What somebody typed for an instance.
#[derive(Clone, Default)]
struct Typed {
    passphrase: Option<Secret>,
    password: Option<Secret>,
}

/// A way over SSH, and what it was made for.
struct Kept {
    connection: SshConnection,
    way: SshWay,
}

/// The ways to instances.
pub(crate) struct Roads {
    by_url: ByUrl,
    board: Arc<Board>,
    surroundings: Surroundings,
    tuning: Hot<Tuning>,
    rng: Arc<dyn Rng>,
    ways: Mutex<BTreeMap<InstanceId, Kept>>,
    typed: Arc<Mutex<AllTyped>>,
}

/// What was typed, by instance and address: another machine under the same name is never told.
type AllTyped = BTreeMap<(InstanceId, String), Typed>;

/// What was accepted and typed for one instance.
struct Vouch {
    id: InstanceId,
    url: String,
    board: Arc<Board>,
    typed: Arc<Mutex<AllTyped>>,
}

impl Vouch {
    fn typed(&self) -> Typed {
        locked(&self.typed).get(&(self.id.clone(), self.url.clone())).cloned().unwrap_or_default()
    }
}

impl Trust for Vouch {
    fn accepted(&self, hop: &Hop) -> Vec<HostKey> {
        let Some(known) = self.board.get(&self.id) else { return vec![] };
        let of_it = known.instance.trusted().iter().filter(|key| key.machine == hop.name());
        of_it.filter_map(|key| HostKey::parse(&key.algorithm, &key.key).ok()).collect()
    }

    fn passphrase(&self) -> Option<Secret> {
        self.typed().passphrase
    }

    fn password(&self) -> Option<Secret> {
        self.typed().password
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every statement leaves the maps whole, so a panic elsewhere does not spoil them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Roads {
    pub(crate) fn new(
        by_url: ByUrl,
        board: &Arc<Board>,
        surroundings: Surroundings,
        tuning: Hot<Tuning>,
        rng: &Arc<dyn Rng>,
    ) -> Self {
        let (board, rng) = (Arc::clone(board), Arc::clone(rng));
        Self { by_url, board, surroundings, tuning, rng, ways: Mutex::default(), typed: Arc::default() }
    }

    /// The same as a function, for whoever only wants to go there.
    pub(crate) fn connector(self: &Arc<Self>) -> Connector {
        let roads = Arc::clone(self);
        Arc::new(move |id, connection| roads.to(id, connection))
    }

    /// The way to an instance; none if its address is no address.
    fn to(&self, id: &InstanceId, connection: &Connection) -> Option<Arc<dyn Transport>> {
        match connection {
            Connection::Url(url) => (self.by_url)(id, url),
            Connection::Ssh(ssh) => {
                Some(Arc::new(self.over_ssh(id, ssh)?.to_port(ssh.comfyui_port).with_output_dir(ssh.output_dir.clone())))
            }
        }
    }

    /// The way to the machine of an instance.
    pub(crate) fn over_ssh(&self, id: &InstanceId, connection: &SshConnection) -> Option<SshWay> {
        let mut ways = locked(&self.ways);
        if let Some(kept) = ways.get(id).filter(|kept| same_way(&kept.connection, connection)) {
            return Some(kept.way.clone());
        }
        let way = self.made(id, connection)?;
        let idle = |kept: &Kept| !kept.way.is_used();
        if ways.values().filter(|kept| idle(kept)).count() > MAX_IDLE {
            ways.retain(|id, kept| !idle(kept) || self.board.get(id).is_some());
        }
        ways.insert(id.clone(), Kept { connection: connection.clone(), way: way.clone() });
        Some(way)
    }

    /// A way of its own to a machine, for whoever only tries something out: what it meets stands in nobody's way.
    pub(crate) fn aside(&self, id: &InstanceId, connection: &SshConnection) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(self.made(id, connection)?.to_port(connection.comfyui_port).with_output_dir(connection.output_dir.clone())))
    }

    fn made(&self, id: &InstanceId, connection: &SshConnection) -> Option<SshWay> {
        // It was written by the same grammar.
        let destination = Destination::parse(&connection.command, None).ok()?.destination;
        let path = |path: &Option<String>| path.as_deref().map(|path| self.surroundings.resolve(path));
        let url = connection.url.clone();
        let vouch = Vouch { id: id.clone(), url, board: Arc::clone(&self.board), typed: Arc::clone(&self.typed) };
        Some(SshWay::new(SshConfig {
            destination,
            identity: path(&connection.identity),
            password_file: path(&connection.password_file),
            surroundings: self.surroundings.clone(),
            trust: Arc::new(vouch),
            keepalive: self.tuning.get().ssh_keepalive,
            rng: Arc::clone(&self.rng),
        }))
    }

    /// Keeps what somebody typed for an instance.
    pub(crate) fn unlock(&self, id: &InstanceId, url: &str, passphrase: Option<Secret>, password: Option<Secret>) {
        let mut typed = locked(&self.typed);
        let typed = typed.entry((id.clone(), url.to_owned())).or_default();
        typed.passphrase = passphrase.or_else(|| typed.passphrase.take());
        typed.password = password.or_else(|| typed.password.take());
    }

    /// Forgets what was typed and learned for an instance that is removed.
    pub(crate) fn forget(&self, id: &InstanceId) {
        locked(&self.typed).retain(|(of, _), _| of != id);
        locked(&self.ways).remove(id);
    }
}

/// Whether one connection serves for both: the port and the output folder are not the connection's.
fn same_way(one: &SshConnection, other: &SshConnection) -> bool {
    (&one.command, &one.identity, &one.password_file) == (&other.command, &other.identity, &other.password_file)
}

/// What a server uses of its machine: the home and the agent of whoever runs it, and their known host keys, which are read and never written.
pub(crate) fn surroundings() -> Surroundings {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = variable("HOME");
    let known_hosts = home.iter().map(|home| home.join(".ssh/known_hosts")).collect();
    Surroundings { home, agent: variable("SSH_AUTH_SOCK"), known_hosts }
}

/// Who is meant where a connection names no user: whoever runs comfyd, as with `ssh`.
pub(crate) fn me() -> Option<String> {
    let told = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    told.or_else(|| {
        // A service may have no such variables; the list of users knows who it is.
        let id = rustix::process::getuid().as_raw().to_string();
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let mut fields = users.lines().map(|line| line.split(':'));
        fields.find_map(|mut line| {
            let (name, _, uid) = (line.next()?, line.next()?, line.next()?);
            (uid == id).then(|| name.to_owned())
        })
    })
}
