//! Says who we are: keys, the agent's keys, a password.
//!
//! Invariants: where a key was named no other is offered; at most five offers in one go; no secret stands in an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;

use super::config::SshConfig;
use super::destination::Hop;
use super::dial::Gate;
use super::error::SshError;
use super::secret::Secret;

/// How many keys are offered in one go: a server ends the connection after six, and others count them.
const MAX_OFFERS: usize = 5;
/// How often a server may ask something.
const MAX_QUESTIONS: usize = 3;
/// The longest file of a key or a password.
const MAX_FILE: u64 = 64 * 1024;
/// The keys that are tried where none was named, in the user's folder.
const DEFAULTS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// A key that can be offered.
enum Offer {
    File(PathBuf, Arc<PrivateKey>),
    Agent(PublicKey, String),
}

/// What was tried, for people.
#[derive(Default)]
struct Tried(Vec<String>);

/// Says who we are to one machine.
pub(super) async fn log_in(handle: &mut Handle<Gate>, config: &SshConfig, hop: &Hop) -> Result<(), SshError> {
    let mut tried = Tried::default();
    let mut agent = agent(config).await;
    let (offers, locked) = offers(config, agent.as_mut()).await?;
    for offer in offers.into_iter().take(MAX_OFFERS) {
        if offer_key(handle, hop, offer, agent.as_mut(), &mut tried).await? {
            return Ok(());
        }
    }
    // It is the password of the machine that is meant, and of none on the way there.
    let password = match &config.password_file {
        _ if *hop != config.destination.target => None,
        Some(path) => Some(read_password(path).await?),
        None => config.trust.password(),
    };
    if let Some(password) = password
        && offer_password(handle, hop, &password, &mut tried).await?
    {
        return Ok(());
    }
    // The key that could not be tried is what is missing.
    if let Some(path) = locked {
        return Err(SshError::KeyLocked { path: path.display().to_string() });
    }
    let tried = match tried.0.as_slice() {
        [] => "to be reached without a key, and none was found".to_owned(),
        tried => tried.join(", "),
    };
    Err(SshError::Auth { user: hop.user.clone(), to: hop.authority(), tried })
}

/// The agent, where there is one that answers.
async fn agent(config: &SshConfig) -> Option<AgentClient<UnixStream>> {
    let path = config.surroundings.agent.as_ref()?;
    match AgentClient::connect_uds(path).await {
        Ok(agent) => Some(agent),
        Err(error) => {
            tracing::debug!(%error, "ssh.agent_unreachable");
            None
        }
    }
}

/// The keys to offer, and one that would be offered if its passphrase were known.
async fn offers(
    config: &SshConfig,
    agent: Option<&mut AgentClient<UnixStream>>,
) -> Result<(Vec<Offer>, Option<PathBuf>), SshError> {
    let held: Vec<(PublicKey, String)> = match agent {
        Some(agent) => match agent.request_identities().await {
            Ok(held) => held.into_iter().filter_map(plain).collect(),
            Err(error) => {
                tracing::debug!(%error, "ssh.agent_has_no_keys");
                Vec::new()
            }
        },
        None => Vec::new(),
    };
    let passphrase = config.trust.passphrase();
    if let Some(path) = &config.identity {
        let unusable = |why: String| SshError::KeyUnusable { path: path.display().to_string(), why };
        return Ok(match load(path, passphrase).await {
            Ok(Some(key)) => (vec![Offer::File(path.clone(), key)], None),
            // The agent may have opened it already.
            Ok(None) => {
                match public_half(path).await.and_then(|key| held.into_iter().find(|(held, _)| held.key_data() == key.key_data()))
                {
                    Some((key, comment)) => (vec![Offer::Agent(key, comment)], None),
                    None => (vec![], Some(path.clone())),
                }
            }
            Err(why) => return Err(unusable(why)),
        });
    }
    let mut offers: Vec<Offer> = held.into_iter().map(|(key, comment)| Offer::Agent(key, comment)).collect();
    let mut locked = None;
    let folder = config.surroundings.home.as_ref().map(|home| home.join(".ssh"));
    for path in folder.iter().flat_map(|folder| DEFAULTS.map(|name| folder.join(name))) {
        if !path.exists() {
            continue;
        }
        match load(&path, passphrase.clone()).await {
            Ok(Some(key)) => {
                let known =
                    |offer: &Offer| matches!(offer, Offer::Agent(held, _) if held.key_data() == key.public_key().key_data());
                if !offers.iter().any(known) {
                    offers.push(Offer::File(path, key));
                }
            }
            Ok(None) => locked = locked.or(Some(path)),
            // Nobody named it, so it is passed over.
            Err(why) => tracing::debug!(path = %path.display(), %why, "ssh.key_unusable"),
        }
    }
    // Keys that are offered anyway come first in the order that the page of decisions fixes: the agent's, then the files.
    Ok((offers, locked))
}

fn plain(identity: AgentIdentity) -> Option<(PublicKey, String)> {
    match identity {
        AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
        // Certificates of users are not offered.
        AgentIdentity::Certificate { .. } => None,
    }
}

/// The private key in a file; none if it is encrypted and the passphrase is not known, or is another.
async fn load(path: &Path, passphrase: Option<Secret>) -> Result<Option<Arc<PrivateKey>>, String> {
    let path = path.to_owned();
    let load = move || {
        let text = read_small(&path)?;
        match russh::keys::decode_secret_key(&text, None) {
            Ok(key) => return Ok(Some(Arc::new(key))),
            Err(russh::keys::Error::KeyIsEncrypted) => {}
            Err(error) => return Err(error.to_string()),
        }
        let Some(passphrase) = passphrase else { return Ok(None) };
        // What fails here fails by the passphrase: the file was understood before.
        Ok(russh::keys::decode_secret_key(&text, Some(passphrase.reveal())).ok().map(Arc::new))
    };
    // Opening an encrypted key takes a tenth of a second of work.
    tokio::task::spawn_blocking(load).await.map_err(|error| error.to_string())?
}

/// The public half of a key, from the file beside it.
async fn public_half(path: &Path) -> Option<PublicKey> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    let text = tokio::task::spawn_blocking(move || read_small(Path::new(&name))).await.ok()?.ok()?;
    PublicKey::from_openssh(text.trim()).ok()
}

fn read_small(path: &Path) -> Result<zeroize::Zeroizing<String>, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MAX_FILE {
        return Err(format!("it is longer than {MAX_FILE} bytes"));
    }
    std::fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(|error| error.to_string())
}

async fn read_password(path: &Path) -> Result<Secret, SshError> {
    let (file, shown) = (path.to_owned(), path.display().to_string());
    let read = tokio::task::spawn_blocking(move || read_small(&file)).await;
    let read = read.map_err(|error| error.to_string()).and_then(|read| read);
    let text = read.map_err(|why| SshError::KeyUnusable { path: shown, why })?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
}

async fn offer_key(
    handle: &mut Handle<Gate>,
    hop: &Hop,
    offer: Offer,
    agent: Option<&mut AgentClient<UnixStream>>,
    tried: &mut Tried,
) -> Result<bool, SshError> {
    let (key, called) = match &offer {
        Offer::File(path, key) => (key.public_key().clone(), format!("the key {}", path.display())),
        Offer::Agent(key, comment) => (key.clone(), format!("the agent's key {comment}")),
    };
    // The question waits a second where a server does not tell, so it is asked for RSA keys only.
    let hash = if key.algorithm().is_rsa() {
        handle.best_supported_rsa_hash().await.map_err(|error| lost(&error))?.unwrap_or(Some(HashAlg::Sha512))
    } else {
        None
    };
    let done = match offer {
        Offer::File(_, key) => handle
            .authenticate_publickey(hop.user.clone(), PrivateKeyWithHashAlg::new(key, hash))
            .await
            .map_err(|error| lost(&error))?,
        Offer::Agent(key, _) => {
            let Some(agent) = agent else { return Ok(false) };
            match handle.authenticate_publickey_with(hop.user.clone(), key, hash, agent).await {
                Ok(done) => done,
                // The agent may have lost the key, or its user said no.
                Err(error) => {
                    tried.0.push(format!("{called} ({error})"));
                    return Ok(false);
                }
            }
        }
    };
    tried.0.push(called);
    judge(handle, hop, &done, tried)
}

async fn offer_password(handle: &mut Handle<Gate>, hop: &Hop, password: &Secret, tried: &mut Tried) -> Result<bool, SshError> {
    let done = handle.authenticate_password(hop.user.clone(), password.reveal()).await.map_err(|error| lost(&error))?;
    tried.0.push("the password".to_owned());
    if judge(handle, hop, &done, tried)? {
        return Ok(true);
    }
    let AuthResult::Failure { remaining_methods, .. } = &done else { return Ok(false) };
    if !remaining_methods.contains(&MethodKind::KeyboardInteractive) {
        return Ok(false);
    }
    let mut asked = handle.authenticate_keyboard_interactive_start(hop.user.clone(), None).await.map_err(|error| lost(&error))?;
    for _ in 0..MAX_QUESTIONS {
        let answers = match &asked {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            // One hidden question is for the password; whatever else is asked, nothing is told.
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => match prompts.as_slice() {
                [] => vec![],
                [prompt] if !prompt.echo => vec![password.reveal().to_owned()],
                _ => return Ok(false),
            },
        };
        asked = handle.authenticate_keyboard_interactive_respond(answers).await.map_err(|error| lost(&error))?;
    }
    Ok(false)
}

fn judge(handle: &Handle<Gate>, hop: &Hop, done: &AuthResult, tried: &Tried) -> Result<bool, SshError> {
    match done {
        AuthResult::Success => Ok(true),
        // At the first offer that says nothing about it: the line may have been cut just then.
        AuthResult::Failure { .. } if handle.is_closed() && tried.0.len() < 2 => {
            Err(SshError::Lost { why: format!("during the login: it hung up while {} was tried", tried.0.join(", ")) })
        }
        // After too many refusals a machine does not say no but hangs up; to take that for an accident would try for ever.
        AuthResult::Failure { .. } if handle.is_closed() => {
            let tried = format!("{}, and hung up", tried.0.join(", "));
            Err(SshError::Auth { user: hop.user.clone(), to: hop.authority(), tried })
        }
        AuthResult::Failure { .. } => Ok(false),
    }
}

fn lost(error: &russh::Error) -> SshError {
    SshError::Lost { why: format!("during the login: {error}") }
}
