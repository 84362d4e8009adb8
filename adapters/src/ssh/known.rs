//! Which keys of machines are known: what was accepted here, and what `known_hosts` files say.
//!
//! Invariants: a file is read and never written; a file that cannot be read, or a line that revokes and cannot be read, ends the connection; a key of
//! another algorithm for a known machine is a changed key; what was accepted here comes before what a file says, and what a file revokes before both.

use std::io;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::destination::Hop;
use super::host_key::HostKey;

/// The longest file that is read.
pub const MAX_KNOWN_HOSTS: u64 = 16 * 1024 * 1024;

/// Who knows a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was accepted for this instance.
    Accepted,
    /// A file says so.
    File(PathBuf),
}

/// What is to be thought of a key that a machine presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the machine's.
    Known(Source),
    /// Nothing is known of the machine.
    Unknown,
    /// The machine had other keys.
    Changed {
        /// Those: algorithm and fingerprint; the fingerprint of one that cannot be read is `unreadable`.
        before: Vec<(String, String)>,
        /// Who says so.
        source: Source,
    },
    /// The key is not to be used any more.
    Revoked(PathBuf),
    /// A file cannot be read, so that nothing is sure.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// What a line says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    Revoked,
    /// It signs keys of machines; it is the key of none.
    Authority,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    mark: Mark,
    names: String,
    algorithm: String,
    /// None where it cannot be read: it then equals no key.
    key: Option<HostKey>,
}

/// A `known_hosts` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHosts {
    path: PathBuf,
    lines: Result<Vec<Line>, String>,
}

impl KnownHosts {
    /// Reads a file; one that does not exist is empty.
    pub fn read(path: &Path) -> Self {
        let text = match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_KNOWN_HOSTS => Err(format!("it is longer than {MAX_KNOWN_HOSTS} bytes")),
            Ok(_) => std::fs::read(path).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        };
        let lines = text.and_then(|text| parse(&String::from_utf8_lossy(&text)));
        Self { path: path.to_owned(), lines }
    }

    /// A file of this text.
    pub fn of_text(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), lines: parse(text) }
    }

    /// The algorithms of the keys that a machine is known by, so that it can be asked to prove one of those.
    pub fn algorithms(&self, hop: &Hop) -> Vec<String> {
        let lines = self.lines.as_deref().unwrap_or_default();
        let of_it = lines.iter().filter(|line| line.mark == Mark::None && matches(&line.names, &hop.name()));
        of_it.map(|line| line.algorithm.clone()).collect()
    }
}

fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split([' ', '\t', '\r']).filter(|word| !word.is_empty()).peekable();
        let mark = match words.peek() {
            None => continue,
            Some(word) if word.starts_with('#') => continue,
            Some(&"@revoked") => Mark::Revoked,
            Some(&"@cert-authority") => Mark::Authority,
            // A mark of a later time: the line vouches for nothing, and may revoke.
            Some(word) if word.starts_with('@') => return Err(format!("line {number} begins with an unknown mark")),
            Some(_) => Mark::None,
        };
        if mark != Mark::None {
            words.next();
        }
        let (names, algorithm, base64) = (words.next(), words.next(), words.next());
        let (Some(names), Some(algorithm), Some(base64)) = (names, algorithm, base64) else {
            if mark == Mark::Revoked {
                return Err(format!("line {number} revokes a key and is cut short"));
            }
            continue;
        };
        let key = HostKey::parse(algorithm, base64).ok();
        if mark == Mark::Revoked && key.is_none() {
            return Err(format!("line {number} revokes a key that cannot be read"));
        }
        lines.push(Line { mark, names: names.to_owned(), algorithm: algorithm.to_owned(), key });
    }
    Ok(lines)
}

/// What is to be thought of the key that a machine presents, by the keys that were accepted for it here, and these files.
pub fn judge(hop: &Hop, presented: &HostKey, accepted: &[HostKey], files: &[KnownHosts]) -> Verdict {
    let name = hop.name();
    let mut of_it = Vec::new();
    for file in files {
        let lines = match &file.lines {
            Ok(lines) => lines,
            Err(why) => return Verdict::Unreadable { path: file.path.clone(), why: why.clone() },
        };
        for line in lines.iter().filter(|line| matches(&line.names, &name)) {
            match line.mark {
                Mark::Revoked if line.key.as_ref() == Some(presented) => return Verdict::Revoked(file.path.clone()),
                Mark::None => of_it.push((file, line)),
                Mark::Revoked | Mark::Authority => {}
            }
        }
    }
    if !accepted.is_empty() {
        return if accepted.contains(presented) {
            Verdict::Known(Source::Accepted)
        } else {
            let before = accepted.iter().map(|key| (key.algorithm().to_owned(), key.fingerprint().to_owned())).collect();
            Verdict::Changed { before, source: Source::Accepted }
        };
    }
    if let Some((file, _)) = of_it.iter().find(|(_, line)| line.key.as_ref() == Some(presented)) {
        return Verdict::Known(Source::File(file.path.clone()));
    }
    let Some((file, _)) = of_it.first() else { return Verdict::Unknown };
    let fingerprint = |line: &Line| line.key.as_ref().map_or("unreadable", HostKey::fingerprint).to_owned();
    let before = of_it.iter().map(|(_, line)| (line.algorithm.clone(), fingerprint(line))).collect();
    Verdict::Changed { before, source: Source::File(file.path.clone()) }
}

/// Whether a machine is one of these names: patterns with commas between them, or one hashed name.
fn matches(names: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if let Some(hashed) = names.strip_prefix("|1|") {
        return hashed.split_once('|').is_some_and(|(salt, hash)| is_hash(salt, hash, &name));
    }
    let mut found = false;
    for pattern in names.split(',') {
        match pattern.strip_prefix('!') {
            // What is excluded is excluded, whatever else the line says.
            Some(pattern) if fits(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= fits(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
        }
    }
    found
}

fn is_hash(salt: &str, hash: &str, name: &str) -> bool {
    let decode = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).ok();
    let (Some(salt), Some(hash)) = (decode(salt), decode(hash)) else { return false };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    mac.update(name.as_bytes());
    mac.verify_slice(&hash).is_ok()
}

/// `*` stands for any characters, `?` for one. Linear in the product of both lengths, whatever the pattern.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            Some(_) | None => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    (p, n) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
