//! Which names this server answers to, and which page may speak to it.
//!
//! Invariants: a name that an attacker can point at this machine is never among them, so a rebound name gets nothing; a page may speak to the
//! server only from the very origin that it was served from.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The names that this server answers to beside the loopback ones, and who may ask from elsewhere. They may change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `Host` values: `name`, or `name:port` for just that port.
    pub allowed_hosts: Vec<String>,
    /// The address behind a proxy that speaks TLS, `https://name[:port]`: its name and its origin are ours.
    pub public_url: Option<String>,
    /// Origins, `scheme://name[:port]`, whose pages may ask with the token.
    pub cors_origins: Vec<String>,
}

/// What a `Host` header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// This machine.
    Loopback,
    /// A configured name, perhaps behind a proxy that speaks TLS.
    Configured,
    /// The name of the public address.
    Public,
}

impl Names {
    /// What a `Host` header names, if it is one of ours.
    pub(super) fn knows(&self, host: &str) -> Option<Known> {
        let name = name_of(host)?;
        if is_loopback(name) {
            return Some(Known::Loopback);
        }
        if self.public().is_some_and(|(scheme, public)| is_at(scheme, public, host)) {
            return Some(Known::Public);
        }
        let configured = |entry: &String| entry.eq_ignore_ascii_case(name) || entry.eq_ignore_ascii_case(host);
        self.allowed_hosts.iter().any(configured).then_some(Known::Configured)
    }

    /// Whether an `Origin` is the one of the page that this host serves.
    pub(super) fn is_same_origin(&self, origin: &str, host: &str) -> bool {
        let from = |scheme: &str| origin.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host));
        match self.knows(host) {
            Some(Known::Loopback) => from("http://"),
            Some(Known::Configured) => from("http://") || from("https://"),
            Some(Known::Public) => {
                let given = origin.split_once("://");
                given
                    .zip(self.public())
                    .is_some_and(|((given, at), (scheme, public))| given == scheme && is_at(scheme, public, at))
            }
            None => false,
        }
    }

    /// Whether what is sent to this host travels through TLS, so that a cookie can be kept to that.
    pub(super) fn is_secure(&self, host: &str) -> bool {
        self.knows(host) == Some(Known::Public) && self.public().is_some_and(|(scheme, _)| scheme == "https")
    }

    /// Whether pages of this origin may ask with the token.
    pub(super) fn lets_in(&self, origin: &str) -> bool {
        self.cors_origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
    }

    /// The scheme and the `name[:port]` of the public address.
    fn public(&self) -> Option<(&str, &str)> {
        let (scheme, authority) = self.public_url.as_deref()?.split_once("://")?;
        Some((scheme, authority.trim_end_matches('/')))
    }
}

/// Whether two `name[:port]` are the same place; the port of the scheme may be left out.
fn is_at(scheme: &str, one: &str, other: &str) -> bool {
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |place: &str| place.strip_suffix(port).unwrap_or(place).to_ascii_lowercase();
    bare(one) == bare(other)
}

/// The name in `name`, `name:port`, `[v6]` or `[v6]:port`; with brackets if there are some.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => host.split_at(end + 2),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    (!name.is_empty() && port_is_fine).then_some(name)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn is_loopback(name: &str) -> bool {
    let v6 = || name.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || v6().is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Known, Names};

    fn names(allowed: &[&str]) -> Names {
        let allowed_hosts = allowed.iter().map(|&host| host.to_owned()).collect();
        Names { allowed_hosts, ..Names::default() }
    }

    #[test]
    fn the_public_address_is_one_name_and_one_origin() {
        let names = Names { public_url: Some("https://comfy.example".to_owned()), ..Names::default() };
        for host in ["comfy.example", "Comfy.Example", "comfy.example:443"] {
            assert_eq!(names.knows(host), Some(Known::Public), "{host}");
            assert!(names.is_secure(host) && names.is_same_origin("https://comfy.example", host));
            for origin in ["http://comfy.example", "https://comfy.example:8443", "https://evil.example", "null", ""] {
                assert!(!names.is_same_origin(origin, host), "{origin}");
            }
        }
        for host in ["comfy.example:80", "comfy.example:8443", "www.comfy.example", "comfy.example.evil"] {
            assert_eq!(names.knows(host), None, "{host}");
        }
        assert!(!names.is_secure("127.0.0.1:8787"), "the loopback page has no TLS");
        let odd = Names { public_url: Some("https://comfy.example:8443/".to_owned()), ..Names::default() };
        assert_eq!((odd.knows("comfy.example:8443"), odd.knows("comfy.example")), (Some(Known::Public), None));
    }

    #[test]
    fn only_loopback_and_configured_names_are_ours() {
        let hosts = names(&["comfy.example", "exact.example:8443"]);
        let rows = [
            ("127.0.0.1", Some(Known::Loopback)),
            ("127.0.0.1:8787", Some(Known::Loopback)),
            ("127.9.9.9:1", Some(Known::Loopback)),
            ("localhost", Some(Known::Loopback)),
            ("LOCALHOST:80", Some(Known::Loopback)),
            ("[::1]", Some(Known::Loopback)),
            ("[::1]:8787", Some(Known::Loopback)),
            ("comfy.example", Some(Known::Configured)),
            ("Comfy.Example:9999", Some(Known::Configured)),
            ("exact.example:8443", Some(Known::Configured)),
            ("exact.example", None),
            ("", None),
            (":8787", None),
            ("evil.example", None),
            ("127.0.0.1.evil.example", None),
            ("127.1", None),
            ("0x7f000001", None),
            ("2130706433", None),
            ("0.0.0.0", None),
            ("[::]", None),
            ("[::ffff:127.0.0.1]", None),
            ("[::1", None),
            ("[::1]x", None),
            ("::1", None),
            ("localhost.", None),
            ("localhost:", None),
            ("localhost:99999", None),
            ("localhost:+80", None),
            ("localhost:80:80", None),
            ("localhost@evil.example", None),
            ("evil.example@localhost", None),
            ("localhost/", None),
            ("localhost, evil.example", None),
        ];
        for (host, known) in rows {
            assert_eq!(hosts.knows(host), known, "{host:?}");
        }
    }

    #[test]
    fn a_page_speaks_from_its_own_origin_only() {
        let hosts = names(&["comfy.example"]);
        let rows = [
            ("http://127.0.0.1:8787", "127.0.0.1:8787", true),
            ("http://localhost:8787", "localhost:8787", true),
            ("http://localhost:8787", "127.0.0.1:8787", false),
            ("http://127.0.0.1:9999", "127.0.0.1:8787", false),
            ("https://127.0.0.1:8787", "127.0.0.1:8787", false),
            ("https://comfy.example", "comfy.example", true),
            ("http://evil.example", "127.0.0.1:8787", false),
            ("http://evil.example", "evil.example", false),
            ("null", "127.0.0.1:8787", false),
            ("", "127.0.0.1:8787", false),
        ];
        for (origin, host, same) in rows {
            assert_eq!(hosts.is_same_origin(origin, host), same, "{origin} at {host}");
        }
    }
}
