//! Where an SSH connection goes: `ssh -p 40738 root@198.51.100.7`, as rental sites print it.
//!
//! One grammar, written out here, and nothing of a shell or of `ssh`'s own options: what it does not know it refuses by name, so that no text can
//! smuggle in a command (reliability.md 10).

use std::fmt;
use std::net::Ipv6Addr;

/// The port of SSH.
pub const SSH_PORT: u16 = 22;
/// The longest text that is read.
const MAX_TEXT: usize = 1024;
/// The longest name of a user.
const MAX_USER: usize = 64;
/// The longest path of a key.
const MAX_PATH: usize = 512;

/// A machine and who we are there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// The user there.
    pub user: String,
    /// Its name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its SSH port.
    pub port: u16,
}

/// Where an SSH connection goes, and by which way.
///
/// ```
/// use comfyd_adapters::ssh::Destination;
/// let parsed = Destination::parse("ssh -p 40738 root@198.51.100.7 -L 8080:localhost:8080", None)?;
/// assert_eq!(parsed.destination.to_string(), "ssh -p 40738 root@198.51.100.7");
/// assert_eq!(parsed.notices.len(), 1, "the forwarding is not needed, and that is said");
/// # Ok::<(), comfyd_adapters::ssh::DestinationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// The machine itself.
    pub target: Hop,
    /// The machine that it is reached through.
    pub jump: Option<Hop>,
}

/// What a text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Where to go.
    pub destination: Destination,
    /// The file of the private key, as it was given.
    pub identity: Option<String>,
    /// What was understood and is not needed.
    pub notices: Vec<String>,
}

/// A text is no SSH connection that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// There is nothing.
    #[error("find a host: the text is empty")]
    Empty,
    /// It is too long.
    #[error("read it: it is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// It has a character that no connection needs.
    #[error("accept the character {0}")]
    Character(String),
    /// It has an option that is not known here.
    #[error("accept the option `{0}`")]
    Option(String),
    /// An option lacks its value.
    #[error("read the option `{0}`: its value is missing")]
    NoValue(&'static str),
    /// The same thing is said twice.
    #[error("choose: the {0} is given twice")]
    Twice(&'static str),
    /// There is a word after the host.
    #[error("accept a command after the host")]
    Command,
    /// There is no host.
    #[error("find a host: there are options only")]
    NoHost,
    /// Nobody is named, and who we are here is not known.
    #[error("tell the user: none is named")]
    NoUser,
    /// It holds a password.
    #[error("accept a password in the text")]
    Password,
    /// The user has characters that no user has.
    #[error("read the user: it is empty, too long, or has other characters than letters, digits and . _ - +")]
    User,
    /// The host has characters that no host has.
    #[error("read the host `{0}`")]
    Host(String),
    /// The port is no number from 1 to 65535.
    #[error("read the port `{0}`")]
    Port(String),
    /// The path of the key is no plain path.
    #[error("read the path of the key")]
    Identity,
    /// The forwarding is none.
    #[error("read the forwarding `{0}`")]
    Forward(String),
    /// The first hop is none.
    #[error("read the jump host: {0}")]
    Jump(Box<DestinationError>),
    /// There is more than one hop before the machine.
    #[error("go over more than one jump host")]
    Jumps,
    /// The address goes on after the port.
    #[error("use `{0}`: it has a path, a query or a fragment")]
    Path(String),
    /// It is another kind of address.
    #[error("use `{0}`: it does not begin with ssh://")]
    Scheme(String),
}

impl DestinationError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty | Self::TooLong | Self::NoHost | Self::Command | Self::Path(_) | Self::Scheme(_) => "ssh_connection",
            Self::Character(_) => "ssh_character",
            Self::Option(_) | Self::NoValue(_) | Self::Twice(_) | Self::Forward(_) => "ssh_option",
            Self::NoUser | Self::User => "ssh_user",
            Self::Password => "ssh_password",
            Self::Host(_) => "ssh_host",
            Self::Port(_) => "ssh_port",
            Self::Identity => "ssh_identity",
            Self::Jump(_) | Self::Jumps => "ssh_jump",
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::TooLong | Self::NoHost | Self::Path(_) | Self::Scheme(_) => {
                "Write it as `ssh -p PORT USER@HOST`, or ssh://USER@HOST:PORT."
            }
            Self::Character(_) => "Paste the plain command, `ssh -p PORT USER@HOST`, without quotes or anything of a shell.",
            Self::Option(_) => {
                "Leave it out: -p, -l, -i and -J are understood, -L is not needed. ~/.ssh/config and other options play no part."
            }
            Self::NoValue(_) | Self::Twice(_) => "Give each option once, followed by its value.",
            Self::Command => "Leave the command out: give `ssh -p PORT USER@HOST` only.",
            Self::NoUser | Self::User => "Name the user: USER@HOST, or -l USER.",
            Self::Password => {
                "Remove the password. Use a key; or give the password at the prompt of the command line, or in a file that `password_file` names."
            }
            Self::Host(_) => "Give a host name, an IPv4 address, or an IPv6 address (in brackets where a port follows).",
            Self::Port(_) => "Give a number from 1 to 65535.",
            Self::Identity => "Give the path of the private key after -i, without spaces or quotes, such as ~/.ssh/id_ed25519.",
            Self::Forward(_) => "Leave -L out: comfyd reaches ComfyUI through the connection itself. Its port is `comfyui_port`.",
            Self::Jump(_) => "Write it as -J USER@HOST:PORT.",
            Self::Jumps => "Name one jump host; machines behind two are not reached.",
        }
    }
}

impl Hop {
    /// Host and port as `known_hosts` has them: brackets where the port is not 22.
    pub fn name(&self) -> String {
        if self.port == SSH_PORT { self.host.clone() } else { format!("[{}]:{}", self.host, self.port) }
    }

    /// Host and port as people and addresses have them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.authority())
    }
}

impl fmt::Display for Destination {
    /// In the same grammar; equal destinations are written equally.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh ")?;
        if let Some(jump) = &self.jump {
            write!(f, "-J {jump} ")?;
        }
        if self.target.port != SSH_PORT {
            write!(f, "-p {} ", self.target.port)?;
        }
        write!(f, "{}@{}", self.target.user, self.target.host)
    }
}

impl Destination {
    /// What a text says. `me` is who is meant where no user is named.
    ///
    /// # Errors
    /// If it is anything but a connection of this grammar.
    pub fn parse(text: &str, me: Option<&str>) -> Result<Parsed, DestinationError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(DestinationError::TooLong);
        }
        if let Some(bad) = text.chars().find(|&c| !is_plain(c)) {
            return Err(DestinationError::Character(format!("`{}`", bad.escape_default())));
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
        if words.next_if(|word| *word == "ssh").is_none() && words.peek().is_none() {
            return Err(DestinationError::Empty);
        }
        let mut told = Told::default();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix('-') else {
                told.host(word)?;
                continue;
            };
            let mut letters = option.chars();
            let letter = letters.next();
            let mut value = |name| match letters.as_str() {
                // A value that looks like an option is a slip, or worse.
                "" => words.next().filter(|next| !next.starts_with('-')).ok_or(DestinationError::NoValue(name)),
                glued => Ok(glued),
            };
            match letter {
                Some('p') => once(&mut told.port, "port", parse_port(value("-p")?)?)?,
                Some('l') => once(&mut told.user, "user", parse_user(value("-l")?)?)?,
                Some('i') => once(&mut told.identity, "key", parse_identity(value("-i")?)?)?,
                Some('J') => once(&mut told.jump, "jump host", value("-J")?.to_owned())?,
                Some('L') => told.forwards.push(parse_forward(value("-L")?)?),
                Some(_) | None => {
                    // What stands behind a = may be a secret.
                    let name = word.split_once('=').map_or(word, |(name, _)| name);
                    let name: String = name.chars().take(if word.starts_with("--") { 40 } else { 2 }).collect();
                    return Err(DestinationError::Option(name));
                }
            }
        }
        told.done(me)
    }
}

/// What was read so far.
#[derive(Default)]
struct Told {
    host: Option<Place>,
    user: Option<String>,
    port: Option<u16>,
    identity: Option<String>,
    jump: Option<String>,
    forwards: Vec<String>,
}

/// `[user@]host[:port]`.
struct Place {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Told {
    fn host(&mut self, word: &str) -> Result<(), DestinationError> {
        if self.host.is_some() {
            return Err(DestinationError::Command);
        }
        let place = match word.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ssh") => {
                let rest = rest.strip_suffix('/').unwrap_or(rest);
                if rest.contains(['/', '?', '#']) {
                    return Err(DestinationError::Path(format!("ssh://{}", shown(rest))));
                }
                parse_place(rest)?
            }
            Some((scheme, _)) => return Err(DestinationError::Scheme(format!("{}://", shown(scheme)))),
            None => parse_place(word)?,
        };
        self.host = Some(place);
        Ok(())
    }

    fn done(self, me: Option<&str>) -> Result<Parsed, DestinationError> {
        let Place { user, host, port } = self.host.ok_or(DestinationError::NoHost)?;
        let user = either(user, self.user, "user")?;
        let port = either(port, self.port, "port")?.unwrap_or(SSH_PORT);
        let me = || me.filter(|me| parse_user(me).is_ok()).map(str::to_owned);
        let target = Hop { user: user.or_else(me).ok_or(DestinationError::NoUser)?, host, port };
        let jump = self.jump.map(|jump| parse_jump(&jump, &target.user)).transpose()?;
        let ignored = |forward: &String| {
            format!("-L {forward} is not needed: comfyd reaches ComfyUI through the connection itself, and opens no port here")
        };
        let notices = self.forwards.iter().map(ignored).collect();
        Ok(Parsed { destination: Destination { target, jump }, identity: self.identity, notices })
    }
}

/// Letters, digits and what addresses, paths and options are made of; nothing that means something to a shell.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '@' | ':' | '/' | '[' | ']' | '~' | '+' | ',' | '=' | '%')
        // These two only so that an address with a query or a fragment is refused by what it is.
        || matches!(c, '?' | '#')
}

fn shown(text: &str) -> String {
    // Whatever stands before an @ may be a secret.
    let text = text.rsplit_once('@').map_or(text, |(_, after)| after);
    // And what stands behind an =.
    let text = text.split_once('=').map_or(text, |(before, _)| before);
    text.chars().take(80).collect()
}

fn once<T>(slot: &mut Option<T>, what: &'static str, value: T) -> Result<(), DestinationError> {
    if slot.replace(value).is_some() { Err(DestinationError::Twice(what)) } else { Ok(()) }
}

fn either<T: PartialEq>(one: Option<T>, other: Option<T>, what: &'static str) -> Result<Option<T>, DestinationError> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(DestinationError::Twice(what)),
        (one, other) => Ok(one.or(other)),
    }
}

fn parse_place(text: &str) -> Result<Place, DestinationError> {
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, _)) if user.contains([':', '@']) => return Err(DestinationError::Password),
        Some((user, rest)) => (Some(parse_user(user)?), rest),
        None => (None, text),
    };
    if let Some(inner) = rest.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or_else(|| DestinationError::Host(shown(rest)))?;
        let host: Ipv6Addr = host.parse().map_err(|_| DestinationError::Host(shown(host)))?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(DestinationError::Host(shown(rest))),
        };
        return Ok(Place { user, host: host.to_string(), port });
    }
    if let Ok(host) = rest.parse::<Ipv6Addr>() {
        return Ok(Place { user, host: host.to_string(), port: None });
    }
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (rest, None),
    };
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > 253 || host.starts_with(['.', '-']) || !host.bytes().all(named) {
        return Err(DestinationError::Host(shown(host)));
    }
    Ok(Place { user, host: host.to_ascii_lowercase(), port })
}

fn parse_user(text: &str) -> Result<String, DestinationError> {
    if text.contains(':') {
        return Err(DestinationError::Password);
    }
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
    let good = !text.is_empty() && text.len() <= MAX_USER && !text.starts_with('-') && text.bytes().all(named);
    if good { Ok(text.to_owned()) } else { Err(DestinationError::User) }
}

fn parse_port(text: &str) -> Result<u16, DestinationError> {
    let digits = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if port > 0 && digits => Ok(port),
        // What is no number may be anything, also a secret that stands in the wrong place.
        Ok(_) | Err(_) if text.bytes().all(|b| b.is_ascii_digit()) => Err(DestinationError::Port(shown(text))),
        Ok(_) | Err(_) => Err(DestinationError::Port("...".to_owned())),
    }
}

fn parse_identity(text: &str) -> Result<String, DestinationError> {
    // Of the other users' homes nothing is known here.
    let home = !text.starts_with('~') || text.starts_with("~/");
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b'~' | b'+' | b'@' | b'=' | b',');
    if home && !text.is_empty() && text.len() <= MAX_PATH && text.bytes().all(named) {
        Ok(text.to_owned())
    } else {
        Err(DestinationError::Identity)
    }
}

/// `[bind:]port:host:port`, as `-L` has it; only its shape matters, as nothing comes of it.
fn parse_forward(text: &str) -> Result<String, DestinationError> {
    let good = text.contains(':') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]/".contains(&b));
    if good && !text.starts_with('-') { Ok(text.to_owned()) } else { Err(DestinationError::Forward(shown(text))) }
}

fn parse_jump(text: &str, user: &str) -> Result<Hop, DestinationError> {
    if text.contains(',') {
        return Err(DestinationError::Jumps);
    }
    let place = parse_place(text).map_err(|error| DestinationError::Jump(Box::new(error)))?;
    Ok(Hop { user: place.user.unwrap_or_else(|| user.to_owned()), host: place.host, port: place.port.unwrap_or(SSH_PORT) })
}

#[cfg(test)]
#[path = "destination_tests.rs"]
mod tests;
