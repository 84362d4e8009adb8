//! Instances that are reached over SSH: what a text and a port mean, whose key is accepted, what was typed.

use comfyd_adapters::digest::sha256;
use comfyd_adapters::ssh::{Destination, Presented, Secret, SshError, SshWay};
use comfyd_engine::{HostKeyTrusted, Input, InstanceId, SshConnection};

use super::service::Instances;
use super::view::InstanceView;
use crate::problem::Problem;

/// `ComfyUI`'s port on rented machines, where a supervisor stands before it.
pub const COMFYUI_PORT: u16 = 18188;
/// The longest path that is taken.
const MAX_PATH: usize = 4096;

/// An instance over SSH, as somebody writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshWish {
    /// The connection: `ssh -p 40738 root@198.51.100.7`.
    pub connection: String,
    /// `ComfyUI`'s port on the machine; the usual one if none is told.
    pub comfyui_port: Option<u16>,
    /// The file of the private key, where the connection does not name it.
    pub identity: Option<String>,
    /// The file of the password.
    pub password_file: Option<String>,
    /// `ComfyUI`'s output folder on the machine.
    pub output_dir: Option<String>,
}

/// What a wish means, and what was understood and is not needed.
pub(crate) fn understood(wish: &SshWish, usual_port: u16) -> Result<(SshConnection, Vec<String>), Problem> {
    let me = super::roads::me();
    let parsed = Destination::parse(&wish.connection, me.as_deref())
        .map_err(|error| Problem::invalid(error.code(), format!("ssh_connection: failed to {error}"), error.hint()))?;
    let comfyui_port = wish.comfyui_port.unwrap_or(usual_port);
    if comfyui_port == 0 {
        return Err(Problem::invalid("bad_port", "comfyui_port: 0 is no port", "Give a number from 1 to 65535."));
    }
    if wish.identity.is_some() && parsed.identity.is_some() {
        return Err(Problem::invalid("ssh_option", "identity: the connection names a key by -i too", "Name the key once."));
    }
    let path = |name: &str, path: &Option<String>| match path {
        Some(path) if path.is_empty() || path.len() > MAX_PATH || path.chars().any(char::is_control) => {
            Err(Problem::invalid("bad_path", format!("{name}: it is no path"), "Give the path of a file."))
        }
        Some(_) | None => Ok(path.clone()),
    };
    let output_dir = path("output_dir", &wish.output_dir)?;
    if output_dir.as_deref().is_some_and(|dir| !dir.starts_with('/')) {
        let hint = "Give the whole path on the machine, such as /workspace/ComfyUI/output.";
        return Err(Problem::invalid("bad_path", "output_dir: it does not begin with /", hint));
    }
    let Destination { target, jump } = &parsed.destination;
    let via = jump.as_ref().map(|jump| format!("&jump={jump}")).unwrap_or_default();
    let ssh = SshConnection {
        url: format!("ssh://{target}?comfyui_port={comfyui_port}{via}"),
        command: parsed.destination.to_string(),
        comfyui_port,
        identity: path("identity", &wish.identity.clone().or(parsed.identity))?,
        password_file: path("password_file", &wish.password_file)?,
        output_dir,
    };
    Ok((ssh, parsed.notices))
}

/// The instance that a connection stands for where no name was given, such as `ssh-198.51.100.7-40738`.
pub(crate) fn instance_of(ssh: &SshConnection) -> Result<InstanceId, Problem> {
    let Ok(parsed) = Destination::parse(&ssh.command, None) else {
        return Err(Problem::internal("a stored connection is none"));
    };
    let target = parsed.destination.target;
    let letter = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
    let host: String = target.host.chars().map(letter).take(60).collect();
    // The usual ones have names that people can read; all others are told apart by a hash.
    let usual =
        host == target.host && target.user == "root" && ssh.comfyui_port == COMFYUI_PORT && parsed.destination.jump.is_none();
    let apart = if usual { String::new() } else { format!("-{}", &sha256(ssh.url.as_bytes()).as_str()[..8]) };
    let name = format!("ssh-{host}-{}{apart}", target.port);
    name.parse().map_err(|_| Problem::internal("the name of a connection is none"))
}

/// Why no key could be asked for; none where the way went on behind it, so that the key is trusted.
fn no_key(id: &InstanceId, error: &SshError) -> Option<Problem> {
    let status = match error.step() {
        "resolve" | "connect" => 502,
        "host_key" => 409,
        _ => return None,
    };
    let message = format!("the key of instance {id} cannot be asked for: failed to {error}");
    Some(Problem::new(status, error.code(), message, error.hint()))
}

impl Instances {
    fn ssh_of(&self, name: &str) -> Result<(InstanceId, SshWay), Problem> {
        let known = self.known(name)?;
        let id = known.instance.id().clone();
        let Some(ssh) = known.instance.setup().connection.ssh() else {
            let message = format!("instance {id} is reached by its address, not over SSH");
            return Err(Problem::new(409, "not_over_ssh", message, "Nothing is to be done for it."));
        };
        let way = self.roads.over_ssh(&id, ssh);
        Ok((id, way.ok_or_else(|| Problem::internal("a stored connection is none"))?))
    }

    /// Somebody has looked: tries the way again.
    pub(super) fn try_again(&self, id: &InstanceId) {
        if let Ok((id, way)) = self.ssh_of(id.as_str()) {
            way.try_again();
            self.linked.poke(&id);
        }
    }

    /// Accepts the key of this fingerprint, which the machine must present.
    pub(crate) async fn trust(&self, name: &str, fingerprint: &str, replace: bool) -> Result<InstanceView, Problem> {
        let (id, way) = self.ssh_of(name)?;
        let presented = self.presented(&way).await;
        if let Some(error @ SshError::HostKeyRevoked { .. }) = way.control().stuck() {
            return Err(Problem::new(409, error.code(), format!("fingerprint: failed to {error}"), error.hint()));
        }
        let Presented { machine, key } = match presented {
            Ok(Some(presented)) => presented,
            none => {
                let view = self.one(name)?;
                if view.trusted.iter().any(|trusted| trusted.fingerprint == fingerprint) {
                    return Ok(view);
                }
                if let Some(problem) = none.err().and_then(|error| no_key(&id, &error)) {
                    return Err(problem);
                }
                let message = format!("fingerprint: instance {id} presents no key that waits to be accepted");
                return Err(Problem::new(409, "no_key_presented", message, "Test the instance, and look at what it presents."));
            }
        };
        if key.fingerprint() != fingerprint {
            let message = format!("fingerprint: {machine} presents {}, not {fingerprint}", key.fingerprint());
            let hint = "Compare the fingerprints anew: another machine may have got this address.";
            return Err(Problem::new(409, "other_key_presented", message, hint));
        }
        let key = HostKeyTrusted {
            machine,
            algorithm: key.algorithm().to_owned(),
            key: key.base64().to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        // A key that differs from what a file knows is a changed key too, though nothing was accepted here.
        let changed = way.control().stuck().is_some_and(|stuck| stuck.code() == "host_key_changed");
        if changed && !replace {
            let message = format!("replace: the host key of {} changed, so it is not accepted like a new one", key.machine);
            let hint = "If you know why it changed, give `replace: true` (comfyd instances trust NAME --replace). A new machine is better a new instance.";
            return Err(Problem::new(409, "host_key_changed", message, hint));
        }
        let input = Input::TrustHostKey { instance: id.clone(), key, replace };
        self.core.ask(input).await.map_err(Problem::from)?;
        self.try_again(&id);
        self.one(name)
    }

    /// The key that the machine presents and that is not trusted; none if it is trusted.
    async fn presented(&self, way: &SshWay) -> Result<Option<Presented>, SshError> {
        let stuck = way.control().stuck();
        if let Some(presented) = stuck.as_ref().and_then(|stuck| stuck.presented()) {
            return Ok(Some(presented.clone()));
        }
        let _place = self.place().await;
        // The connection ends with the question, unless a run needs it.
        let _held = way.to_port(0);
        // Whoever asks wants to know of now, not what an earlier try met.
        if stuck.is_none() {
            way.try_again();
        }
        match way.control().connect().await {
            Ok(()) => Ok(None),
            Err(error) => error.presented().map(|presented| Some(presented.clone())).ok_or(error),
        }
    }

    /// Keeps a secret that somebody typed, in memory only, and tries the way again.
    pub(crate) fn unlock(
        &self,
        name: &str,
        passphrase: Option<Secret>,
        password: Option<Secret>,
    ) -> Result<InstanceView, Problem> {
        let (id, _) = self.ssh_of(name)?;
        let url = self.known(name)?.instance.url().to_owned();
        self.roads.unlock(&id, &url, passphrase, password);
        self.try_again(&id);
        self.one(name)
    }
}
