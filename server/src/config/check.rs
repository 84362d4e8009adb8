//! What names, origins and addresses look like.

use std::net::{Ipv6Addr, SocketAddr};

use comfyd_adapters::transport::Address;
use tracing_subscriber::EnvFilter;

/// Whether a text is a host, with or without a port, as it stands in `Host`.
pub fn host_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !text.is_empty() && text.len() <= 260 && text.chars().all(plain)
}

/// Whether a text is the origin of a page: `https://name` or `http://name:port`, without a path.
pub fn origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.contains('@') && host_name(rest))
}

/// The address of a reverse proxy without the `/` at its end: an origin, as the page stands at `/`.
pub fn public_url(text: &str) -> Option<String> {
    let plain = text.strip_suffix('/').unwrap_or(text);
    origin(plain).then(|| plain.to_owned())
}

/// A host without a port.
pub(super) fn bare_host(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok() || (host_name(text) && !text.contains([':', '[', ']']))
}

/// Where to listen: an address with a port.
pub(super) fn listen(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port))),
        None => text.parse().ok(),
    }
}

/// The address of a ComfyUI: `http://host:port`, or a host alone that gets the default port.
pub(super) fn comfy_url(text: &str) -> bool {
    bare_host(text) || Address::parse(text).is_ok()
}

/// Whether a text says which log lines are written.
pub(super) fn log_filter(text: &str) -> bool {
    !text.trim().is_empty() && EnvFilter::builder().parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names() {
        for good in ["comfy.example", "comfy.example:8443", "10.0.0.7", "[fd00::1]:80"] {
            assert!(host_name(good), "{good}");
        }
        for bad in ["", "http://comfy.example", "comfy.example/", "a b", "*"] {
            assert!(!host_name(bad), "{bad}");
        }
        assert!(bare_host("gpu-a") && bare_host("fd00::1") && !bare_host("gpu-a:8188"));
    }

    #[test]
    fn origins_have_a_scheme_and_no_path() {
        for good in ["https://comfy.example", "http://localhost:5173"] {
            assert!(origin(good), "{good}");
        }
        for bad in ["*", "null", "comfy.example", "https://", "https://a/b", "https://u@a", "ftp://a"] {
            assert!(!origin(bad), "{bad}");
        }
        assert_eq!(public_url("https://comfy.example/").as_deref(), Some("https://comfy.example"));
        assert_eq!(public_url("https://comfy.example/comfyd"), None);
    }

    #[test]
    fn where_to_listen() {
        assert_eq!(listen("localhost:80"), Some(SocketAddr::from(([127, 0, 0, 1], 80))));
        assert_eq!(listen("0.0.0.0:8787"), Some(SocketAddr::from(([0, 0, 0, 0], 8787))));
        for bad in ["8787", "localhost", "localhost:99999", "example.org:80"] {
            assert_eq!(listen(bad), None, "{bad}");
        }
    }
}
