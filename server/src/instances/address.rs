//! Which addresses may be spoken to (reliability.md 10).
//!
//! What a name leads to is judged again whenever a connection is made, see [`comfyd_adapters::transport::refused_address`].

use std::net::IpAddr;

use comfyd_adapters::transport::{Address, refused_address};

use crate::problem::Problem;

/// The address that a URL of a request names: loopback or one of these hosts; none for any host.
pub(crate) fn check_url(url: &str, hosts: Option<&[String]>) -> Result<Address, Problem> {
    let address = parse_url(url)?;
    let listed = hosts.is_none_or(|hosts| hosts.iter().any(|host| host == address.host()));
    let loopback = address.host() == "localhost" || address.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if listed || loopback {
        return Ok(address);
    }
    Err(Problem::new(
        403,
        "host_not_allowed",
        format!("url: {} is neither loopback nor an allowed host", address.host()),
        "Forward its port to this machine (ssh -N -L 8188:127.0.0.1:8188 HOST) and give http://127.0.0.1:8188.",
    ))
}

/// The address that a URL names, wherever that is; never one that no server has.
pub(crate) fn parse_url(url: &str) -> Result<Address, Problem> {
    let address =
        Address::parse(url).map_err(|error| Problem::invalid(error.code(), format!("url: failed to {error}"), error.hint()))?;
    match address.host().parse::<IpAddr>().ok().and_then(refused_address) {
        None => Ok(address),
        Some(why) => {
            let message = format!("url: {} is {why}", address.host());
            Err(Problem::new(403, "address_refused", message, "Give the address of the ComfyUI itself."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_spoken_to() {
        let code =
            |url: &str, hosts: Option<&[String]>| check_url(url, hosts).map_or_else(|problem| problem.code, |_| "ok".to_owned());
        let gpu = ["gpu.lan".to_owned()];
        for (url, hosts, expected) in [
            ("http://127.0.0.1:8188", Some(&[][..]), "ok"),
            ("http://localhost:8188", Some(&[]), "ok"),
            ("http://[::1]:8188", Some(&[]), "ok"),
            ("http://gpu.lan:8188", Some(&gpu), "ok"),
            ("http://gpu.lan:8188", Some(&[]), "host_not_allowed"),
            ("http://gpu.lan:8188", None, "ok"),
            ("http://169.254.169.254:80", None, "address_refused"),
            ("http://[fe80::1]:8188", None, "address_refused"),
            ("http://me:hunter2@127.0.0.1:8188", None, "address_userinfo"),
            ("https://127.0.0.1:8188", None, "address_tls"),
        ] {
            assert_eq!(code(url, hosts), expected, "{url}");
        }
    }
}
